// Package peers compares what conversations cost on DynamoDB: ours beside those of
// LangChain and LangGraph, on the same server. Its test is its content; it needs
// DynamoDB Local and the peers, which GENAISTORE_INSTALL=1 installs:
//
//	GENAISTORE_INSTALL=1 go -C internal/bench/peers test -v
package peers
