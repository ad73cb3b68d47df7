//go:build !race

package main

// testCompression is what pipelines under test compress with: the default.
const testCompression = "lz4"
