package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// TestRealLargeRecord has a row that the topic's max.message.bytes does not take, in both deliveries: run
// stops with table, topic and sizes and no value, as often as it is started; once the topic takes more, the
// row comes, and every row once that came around it.
func TestRealLargeRecord(t *testing.T) {
	server, brokers, registry := local.RealPostgres(t)[0], local.RealKafka(t), local.RealRegistry(t)
	for _, delivery := range deliveries {
		t.Run(delivery, func(t *testing.T) {
			b := newBench(t, server, brokers, registry)
			b.change(b.tables, "delivery: "+delivery+"\ntopic: {prefix: PREFIX, partitions: 3, "+
				"replication_factor: 1, config: {max.message.bytes: '20000'}}")
			first := b.rig.run(t)
			first.reach(t, stateStreaming)
			first.stop(t)
			b.rows++
			b.exec(fmt.Sprintf("INSERT INTO public.orders SELECT %d, string_agg(md5(g::text), '') "+
				"FROM generate_series(1, 3000) g", b.rows))
			b.order(1)
			for range 2 {
				said := b.fails(badCase{code: exitPerson, run: []string{
					"publish public.orders to topic PREFIX.public.orders", "value of 9", "bytes",
					"max.message.bytes of the topic", "[E210]",
				}})
				if strings.Contains(said, "c4ca4238a0b9") {
					t.Error("the error shows the row's value")
				}
			}
			client, err := kgo.NewClient(kgo.SeedBrokers(brokers))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			large := "1000000"
			answers, err := kadm.NewClient(client).AlterTopicConfigs(t.Context(),
				[]kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &large}},
				b.prefix+".public.orders")
			if err != nil || answers[0].Err != nil {
				t.Fatal(err, answers)
			}
			seen := newTopics(t, b.rig)
			l := b.rig.run(t)
			b.handover(seen, l, func() {})
			l.stop(t)
			b.came(seen, delivery)
		})
	}
}

// TestPoisonValue has a value that the schema cannot carry: run stops with table, column and the mode that
// would carry it, as often as it is started; told to write null it goes on, with every row before and
// behind.
func TestPoisonValue(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.exec("ALTER TABLE public.orders ADD n numeric(10,2)")
	b.delivered()
	b.rows++
	b.exec(fmt.Sprintf("INSERT INTO public.orders VALUES (%d, 'poison', 'NaN')", b.rows))
	b.order(1)
	for range 2 {
		b.fails(badCase{code: exitPerson, run: []string{
			"[E151]", "write public.orders column n (numeric)", "NaN", "string", "carries it",
		}})
	}
	b.change(b.tables, "unrepresentable: 'null'")
	b.delivered()
}

// TestUnsendableRow has a row that the server stores and cannot send: run stops with where it is, as often as
// it is started, and the repair that it names, once the row is gone, repairs. The row needs no gigabyte: the
// column's type reads the eight bytes of a hardware address as a bytea, whose first four give it 560 MB.
func TestUnsendableRow(t *testing.T) {
	b := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	b.exec(`CREATE TYPE huge;
		CREATE FUNCTION huge_in(cstring) RETURNS huge IMMUTABLE STRICT LANGUAGE internal AS 'macaddr8_in';
		CREATE FUNCTION huge_out(huge) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'byteaout';
		CREATE TYPE huge (INPUT = huge_in, OUTPUT = huge_out, INTERNALLENGTH = 8, ALIGNMENT = int4);
		ALTER TABLE public.orders ADD h huge`)
	b.delivered()
	b.rows++
	b.exec(fmt.Sprintf("INSERT INTO public.orders VALUES (%d, 'huge', '10:b0:83:85:00:00:00:00')", b.rows))
	b.order(1)
	var said string
	for range 2 {
		said = b.fails(badCase{code: exitPerson, run: []string{
			"[E158]", "stream slot PREFIX: a change in the transaction at ", "what came last was of public.orders",
			"larger than the 1 GiB that Postgres can send", "invalid memory alloc request size", "associated LSN",
			"make the row smaller", "tributary snapshot --repair",
		}})
	}
	b.exec("ALTER TABLE public.orders DROP h")
	b.repaired(said)
}
