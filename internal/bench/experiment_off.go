//go:build !goexperiment.simd

package main

func experiment() string { return "off" }
