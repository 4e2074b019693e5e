//go:build !race

package memorytest_test

// slow says that the race detector makes everything take ten times as long.
const slow = false
