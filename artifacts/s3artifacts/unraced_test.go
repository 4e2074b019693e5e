//go:build !race

package s3artifacts_test

const raced = false
