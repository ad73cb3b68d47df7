package schema

import (
	"encoding/base64"
	"strings"
	"testing"
)

// TestHeartbeat has Debezium's heartbeat schemas, which no recording holds, from its own converter.
func TestHeartbeat(t *testing.T) {
	c := CompileHeartbeat(ordersOptions())
	wantKey := `{"type":"record","name":"ServerNameKey","namespace":"io.debezium.connector.common",` +
		`"fields":[{"name":"serverName","type":"string"}],"connect.version":1,` +
		`"connect.name":"io.debezium.connector.common.ServerNameKey"}`
	wantValue := `{"type":"record","name":"Heartbeat","namespace":"io.debezium.connector.common",` +
		`"fields":[{"name":"ts_ms","type":"long"}],"connect.version":1,` +
		`"connect.name":"io.debezium.connector.common.Heartbeat"}`
	if c.KeySchema() != wantKey || c.ValueSchema() != wantValue {
		t.Errorf("schemas are\n%s\n%s\nwant\n%s\n%s", c.KeySchema(), c.ValueSchema(), wantKey, wantValue)
	}
	if key := c.AppendKey([]byte("x")); string(key) != "x\x06pg1" {
		t.Errorf("key is %x", key)
	}
	if value := c.AppendValue([]byte("x"), -1); string(value) != "x\x01" {
		t.Errorf("value is %x", value)
	}
}

func TestHeartbeatJSON(t *testing.T) {
	o := ordersOptions()
	o.KeyFormat, o.ValueFormat = JSONSchemas, JSONBare
	c := CompileHeartbeat(o)
	want := `{"schema":{"type":"struct","fields":[{"type":"string","optional":false,"field":"serverName"}],` +
		`"optional":false,"name":"io.debezium.connector.common.ServerNameKey","version":1},` +
		`"payload":{"serverName":"pg1"}}`
	if key := c.AppendKey(nil); string(key) != want {
		t.Errorf("key is %s, want %s", key, want)
	}
	if value := c.AppendValue(nil, 12); string(value) != `{"ts_ms":12}` {
		t.Errorf("value is %s", value)
	}
	if c.KeySchema() != "" || c.ValueSchema() != "" {
		t.Errorf("JSON has Avro schemas %q and %q", c.KeySchema(), c.ValueSchema())
	}
}

func TestMessageBinaryModes(t *testing.T) {
	content := []byte{0xff, 0xfe, 0x3e}
	for _, test := range []struct {
		mode BinaryMode
		typ  string
		want any
	}{
		{BinaryBytes, `["null","bytes"]`, content},
		{BinaryBase64, `["null","string"]`, "//4+"},
		{BinaryBase64URL, `["null","string"]`, base64.URLEncoding.EncodeToString(content)},
		{BinaryHex, `["null","string"]`, "fffe3e"},
	} {
		o := ordersOptions()
		o.Binary = test.mode
		c := CompileMessage(o)
		if !strings.Contains(c.ValueSchema(), `{"name":"content","type":`+test.typ) {
			t.Errorf("mode %d: schema %s", test.mode, c.ValueSchema())
		}
		value := c.AppendValue(nil, &Message{Prefix: "p", Content: content})
		got := avroDecode(t, c.ValueSchema(), value)["message"].(map[string]any)["content"]
		if b, isBytes := got.([]byte); isBytes && string(b) == string(content) && test.mode == BinaryBytes {
			continue
		}
		if got != test.want {
			t.Errorf("mode %d: content %v, want %v", test.mode, got, test.want)
		}
	}
}

func TestEmptyTransaction(t *testing.T) {
	c := CompileTransaction(ordersOptions())
	v := avroDecode(t, c.ValueSchema(), c.AppendValue(nil, &TransactionMark{End: true, TxID: 1, LSN: 2}))
	if list, ok := v["data_collections"].([]any); !ok || len(list) != 0 || v["event_count"] != int64(0) {
		t.Errorf("the end of an empty transaction is %v", v)
	}
	v = avroDecode(t, c.ValueSchema(), c.AppendValue(nil, &TransactionMark{TxID: 1, LSN: 2}))
	if v["data_collections"] != nil || v["event_count"] != nil || v["id"] != "1:2" {
		t.Errorf("a begin is %v", v)
	}
}

func TestAuxiliaryTopics(t *testing.T) {
	for got, want := range map[string]string{
		MessageTopic("p"):     "p.message",
		TransactionTopic("p"): "p.transaction",
		HeartbeatTopic("p"):   "__debezium-heartbeat.p",
	} {
		if got != want {
			t.Errorf("topic %q, want %q", got, want)
		}
	}
}
