//go:build browser

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/tributary-cdc/tributary/deploy/local"
)

// picturesVariable names a directory that TestRealStatusPage writes its pictures into: those of the README.
const picturesVariable = "TRIBUTARY_TEST_PICTURES"

// browser is a headless Chromium that shows one page.
type browser struct {
	ctx context.Context

	mu       sync.Mutex // guards complaints
	complain []string   // of the console, which a violated policy comes to as well
}

// openBrowser starts a Chromium, which ends with the test.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium-headless-shell", "chromium", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		if os.Getenv("TRIBUTARY_TEST_REQUIRED") != "" {
			t.Fatal("no Chromium is installed (Debian's package is chromium-headless-shell)")
		}
		t.Skip("no Chromium is installed (Debian's package is chromium-headless-shell)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox,
		chromedp.WindowSize(1280, 900))
	allocated, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(cancel)
	b := &browser{ctx: ctx}
	chromedp.ListenTarget(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.complain = append(b.complain, e.ExceptionDetails.Text+" "+e.ExceptionDetails.URL)
		case *runtime.EventConsoleAPICalled:
			b.complain = append(b.complain, fmt.Sprint("console: ", e.Type, e.Args))
		case *log.EventEntryAdded:
			b.complain = append(b.complain, e.Entry.Text+" "+e.Entry.URL)
		}
	})
	return b
}

func (b *browser) run(t *testing.T, what string, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// complaints are what the console has told so far.
func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.complain
}

// picture writes what the page looks like, in a width and a colour scheme.
func (b *browser) picture(t *testing.T, name, scheme string, width int64) {
	t.Helper()
	var image []byte
	b.run(t, "picture "+name,
		chromedp.EmulateViewport(width, 900),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{
			Name: "prefers-color-scheme", Value: scheme,
		}}),
		chromedp.Poll(fmt.Sprintf(`document.querySelectorAll(".chart canvas").length === 3 &&
			matchMedia("(prefers-color-scheme: %s)").matches`, scheme), nil),
		chromedp.FullScreenshot(&image, 100))
	var wide bool
	b.run(t, "width", chromedp.Evaluate("document.documentElement.scrollWidth > innerWidth", &wide))
	if wide {
		t.Errorf("%s: the page is wider than %d pixels", name, width)
	}
	if dir := os.Getenv(picturesVariable); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), image, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// recent waits for what the last minute has to say: a latency measured in this process, a throughput, and by
// when the server had written the positions.
func (b *browser) recent(t *testing.T) {
	t.Helper()
	b.run(t, "the last minute", chromedp.Poll(`(() => {
		const tiles = [...document.querySelectorAll("#tiles .tile")].map(e => e.innerText);
		const cells = [...document.querySelectorAll("#tables tbody tr")].map(r => r.innerText.split("\t"));
		const row = cells.find(c => c[0] === "public.orders");
		const times = document.querySelectorAll("#positions .written time[datetime]");
		return tiles.length === 4 && /p50 [0-9.]+ m?s, p99 [0-9.]+ m?s/.test(tiles[0]) &&
			/ rows\/s, .*B\/s/.test(tiles[1]) && row !== undefined && row[9] === "1" && times.length > 0;
	})()`, nil, chromedp.WithPollingTimeout(2*time.Minute)))
}

// sidePages goes to the pages of configuration and errors as a person without a mouse does, in the width of a
// telephone and with scripts turned off: they need none.
func (b *browser) sidePages(t *testing.T, address string) {
	t.Helper()
	b.run(t, "without script", emulation.SetScriptExecutionDisabled(true), chromedp.EmulateViewport(375, 900))
	for i, side := range []struct{ path, title, row, text string }{
		{"config", "shop: Configuration - tributary", "#main tbody tr.changed", "topic.prefix"},
		{"errors", "shop: Errors - tributary", "#main tr#E122", "tributary snapshot --repair"},
	} {
		keys := []chromedp.Action{
			chromedp.Navigate(address + "/"), chromedp.WaitReady("nav[aria-label=Pages]"), chromedp.Focus("nav a"),
		}
		for range i + 1 {
			keys = append(keys, chromedp.KeyEvent("\t"))
		}
		keys = append(keys, chromedp.KeyEvent("\r"),
			chromedp.WaitReady(`a[aria-current=page][href="`+side.path+`"]`))
		b.run(t, side.path+" by keyboard", keys...)
		var title, text string
		var landmarks []*cdp.Node
		b.run(t, "read "+side.path, chromedp.Title(&title), chromedp.Text("#main", &text, chromedp.ByQuery),
			chromedp.WaitReady(side.row, chromedp.ByQuery),
			chromedp.Nodes("body > nav, body > header h1, body > main, body > footer", &landmarks,
				chromedp.ByQueryAll))
		if title != side.title || !strings.Contains(text, side.text) || len(landmarks) != 4 {
			t.Errorf("%s: title %q, %d landmarks, text %s", side.path, title, len(landmarks), text)
		}
		b.wide(t, side.path)
	}
	b.run(t, "with script", emulation.SetScriptExecutionDisabled(false), chromedp.EmulateViewport(1280, 900))
}

// wide fails the test when the page is wider than its window.
func (b *browser) wide(t *testing.T, name string) {
	t.Helper()
	var content, window *dom.Rect
	b.run(t, "width", chromedp.ActionFunc(func(ctx context.Context) error {
		_, _, _, visible, _, all, err := page.GetLayoutMetrics().Do(ctx)
		if err == nil {
			content, window = all, &dom.Rect{Width: float64(visible.ClientWidth)}
		}
		return err
	}))
	if content.Width > window.Width {
		t.Errorf("%s: the page is %v pixels wide, its window %v", name, content.Width, window.Width)
	}
}

// TestRealStatusPage looks at the page of a pipeline in a real browser: numbers move while rows are written,
// the live dot goes grey when the program is killed, and the console has nothing to say.
func TestRealStatusPage(t *testing.T) {
	b := openBrowser(t)
	bench := newBench(t, local.Postgres(t), local.Kafka(t), local.Registry(t))
	bench.exec("CREATE TABLE public.customers (id int PRIMARY KEY, name text)")
	bench.rig.prefix = "shop" // as the pictures show it
	bench.rig.write(t, "")
	l := bench.rig.start(t)
	l.reach(t, stateStreaming)
	_, rest, _ := strings.Cut(l.log.String(), `"address":"`)
	address, _, _ := strings.Cut(rest, `"`)
	b.run(t, "open", chromedp.Navigate(address+"/"), chromedp.WaitReady(`html[data-ticks="2"]`))
	var title, live, role, announced string
	b.run(t, "read", chromedp.Title(&title), chromedp.Text("#live", &live), chromedp.AttributeValue("#state",
		"role", &role, nil), chromedp.AttributeValue("#sentence", "aria-live", &announced, nil))
	if !strings.Contains(title, "STREAMING") || !strings.Contains(live, "Live, as of") || role != "status" ||
		announced != "polite" {
		t.Errorf("title %q, live %q, role %q, aria-live %q", title, live, role, announced)
	}
	bench.order(7)
	bench.exec("ALTER TABLE public.orders ADD note text; UPDATE public.orders SET note = 'x' WHERE id = 1;" +
		"DELETE FROM public.orders WHERE id = 2")
	b.run(t, "numbers move", chromedp.Poll(`(() => {
		const cells = [...document.querySelectorAll("#tables tbody tr")].map(r => r.innerText.split("\t"));
		const row = cells.find(c => c[0] === "public.orders");
		return row !== undefined && row[5] === "7" && row[6] === "1" && row[7] === "1" &&
			/added note text\s+shop.public.orders-value id [0-9]+/.test(document.querySelector("#changes").innerText);
	})()`, nil))
	samples := 2
	if os.Getenv(picturesVariable) != "" {
		samples = 15 // charts that show something
		for range 40 {
			bench.order(25)
			bench.exec("UPDATE public.orders SET note = 'y' WHERE id % 7 = 1; SELECT pg_sleep(1)")
		}
	}
	b.run(t, "samples", chromedp.Poll(fmt.Sprintf(`window.uPlot !== undefined &&
		Number(document.documentElement.dataset.samples) >= %d`, samples), nil,
		chromedp.WithPollingTimeout(2*time.Minute)))
	b.recent(t)
	b.picture(t, "status-light", "light", 1280)
	b.picture(t, "status-dark", "dark", 1280)
	b.picture(t, "status-small", "light", 375)
	var focused string
	b.run(t, "keyboard", chromedp.KeyEvent("\t"), chromedp.KeyEvent("\t"),
		chromedp.Evaluate(`document.activeElement.tagName`, &focused))
	if focused != "BUTTON" && focused != "A" {
		t.Errorf("the tab key leads to %s", focused)
	}
	b.sidePages(t, address)
	b.run(t, "back", chromedp.Navigate(address+"/"), chromedp.WaitReady(`html.connected[data-ticks="2"]`))
	if said := b.complaints(); len(said) > 0 {
		t.Errorf("the console says %s", said)
	}
	l.kill(t)
	b.run(t, "the connection is lost", chromedp.WaitReady("html.lost"), chromedp.Text("#live", &live))
	if !strings.Contains(live, "Connection lost: the numbers are of ") {
		t.Errorf("after the kill: %q", live)
	}
	var color, idle string
	b.run(t, "dot", chromedp.Poll(`getComputedStyle(document.getElementById("dot")).color ===
			getComputedStyle(document.querySelector(".who")).color`, nil),
		chromedp.Evaluate(`getComputedStyle(document.getElementById("dot")).color`, &color),
		chromedp.Evaluate(`getComputedStyle(document.querySelector(".who")).color`, &idle))
	if color != idle {
		t.Errorf("the dot is %s, want the grey %s", color, idle)
	}
	if text, err := json.Marshal(b.complaints()); err != nil || strings.Contains(string(text), "Policy") {
		t.Errorf("the policy was violated: %s, %v", text, err)
	}
}
