//go:build race

package dynamomemory_test

const slow = true // the race detector is on
