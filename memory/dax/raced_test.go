//go:build race

package dax_test

const raced = true
