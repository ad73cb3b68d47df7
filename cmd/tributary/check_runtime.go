package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// checkRuntime looks at what surrounds this process.
func checkRuntime(ctx context.Context, c Config, f *findings) {
	checkListen(ctx, c, f)
	checkGrace(c, f)
	needed := 2*int64(c.Kafka.WindowBytes) + int64(c.Source.MaxRowBytes)
	limit, from := memoryLimit()
	switch {
	case limit == 0:
		f.ok("memory", "no limit is set")
	case limit < needed:
		f.add("W601", "memory", fmt.Sprintf("the limit is %s (%s), and the buffers may take %s", size(limit), from,
			size(needed)), "")
	default:
		f.ok("memory", fmt.Sprintf("%s (%s) for buffers of at most %s", size(limit), from, size(needed)))
	}
}

// graceVariable is what the chart tells the process of its pod's terminationGracePeriodSeconds, which
// Kubernetes itself does not.
const graceVariable = "TERMINATION_GRACE_PERIOD_SECONDS"

// checkGrace compares how long a stopping pod may take with how long a window may. In at-least-once mode
// there is no bound to compare with: what is cut off comes again.
func checkGrace(c Config, f *findings) {
	text, told := os.LookupEnv(graceVariable)
	seconds, err := strconv.Atoi(text)
	if !told || c.Delivery != "exactly-once" {
		return
	}
	grace, needed := time.Duration(seconds)*time.Second, c.Kafka.TransactionTimeout
	switch {
	case err != nil:
		f.skip("grace", fmt.Sprintf("%s is %q, which is no number of seconds", graceVariable, text))
	case grace < needed:
		more := int(needed.Seconds()) + 20 // for the connections to be closed, and the pod to be told
		f.add("W602", "grace", fmt.Sprintf("the pod is killed %s after it is told to stop, and a window may take "+
			"%s", grace, needed), fmt.Sprintf("terminationGracePeriodSeconds: %d   # of the pod's spec", more))
	default:
		f.ok("grace", fmt.Sprintf("%s to stop, for windows of at most %s", grace, needed))
	}
}

// memoryLimit is what this process may use, 0 without a limit: Go's own, or the control group's.
func memoryLimit() (limit int64, from string) {
	if own := debug.SetMemoryLimit(-1); own < math.MaxInt64 {
		return own, "GOMEMLIMIT"
	}
	text, err := os.ReadFile("/sys/fs/cgroup/memory.max")
	if err != nil {
		return 0, "" // another system, or version 1: nothing is known
	}
	group, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, "" // "max"
	}
	return group, "the control group's memory.max"
}
