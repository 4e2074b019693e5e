//go:build !race

package dynamomemory_test

const slow = false
