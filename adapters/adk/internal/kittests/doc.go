// Package kittests runs the tests of the Agent Development Kit itself on the sessions
// and artifacts of package adk: the tests of each package of the kit that keeps either
// in the kit's in-memory services, with ours in their place, and the kit's suite of
// artifact services, which nobody outside the kit can import.
//
//	GENAISTORE_KIT=memory,dynamodb,s3 GENAISTORE_INSTALL=1 go test -count=1 -timeout 30m
//
// The kit is copied from the module cache to .cache/adk. Two constructors,
// session.InMemoryService and artifact.InMemoryService, are patched to ask package ours
// first, and each package
// under test gets one more test file, which sets that up. All else, its test files
// among it, is held to the checksum of the module in go.sum. The results are those of
// `go test -json`, beside those of a run on the kit's own service.
//
// Environment:
//
//	GENAISTORE_KIT    stores to run on, of "memory,slow,dynamodb,s3"
//	GENAISTORE_CACHE  folder of the copy; .cache of the checkout
//
// and that of package servers, which runs DynamoDB Local and versitygw.
//
// A module of its own: nobody who keeps sessions wants in their go.sum what the kit
// is tested with, or a client of a store they do not use.
package kittests
