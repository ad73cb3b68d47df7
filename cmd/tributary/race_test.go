//go:build race

package main

// testCompression is what pipelines under test compress with. lz4's buffers of several MiB, new for each
// batch where the race detector empties pools, take nearly all of a test's time.
const testCompression = "none"
