// Package kittests runs the tests of the Agent Development Kit itself on the sessions
// of package adk: the tests of each package of the kit that keeps sessions in the
// kit's in-memory service, with ours in its place.
//
//	GENAISTORE_KIT=memory,dynamodb GENAISTORE_INSTALL=1 go test -count=1 -timeout 30m
//
// The kit is copied from the module cache to .cache/adk. One constructor,
// session.InMemoryService, is patched to ask package ours first, and each package
// under test gets one more test file, which sets that up. All else, its test files
// among it, is held to the checksum of the module in go.sum. The results are those of
// `go test -json`, beside those of a run on the kit's own service.
//
// Environment:
//
//	GENAISTORE_KIT    stores to run on, of "memory,slow,dynamodb"
//	GENAISTORE_CACHE  folder of the copy; .cache of the checkout
//
// and that of package servers, which runs DynamoDB Local.
//
// A module of its own: nobody who keeps sessions wants in their go.sum what the kit
// is tested with, or a client of a store they do not use.
package kittests
