// Package rag finds the passages that a language model should read before it
// answers.
//
// A document is split into chunks ([Paragraphs], [Markdown]), each of which is
// embedded and stored in an index of package vectors, and added to a [BM25]
// index. A question is searched in both, by meaning and by words, and [Blend]
// joins the two lists into one that is better than either; [Fuse] does so where
// only ranks are known, or scores mean too different things. The pieces work on
// ids and text alone and need no service.
//
// Give passages their title ([ChunkOptions], [Document]), ask each retriever for
// about 100 hits, and count the better of the two more: see the example.
//
// What comes later: sources from S3 and io/fs, chunkers by tokens and for code,
// sync of an index with its sources, maximal marginal relevance, neighbours and
// a hook for rerankers.
package rag

import "github.com/genaistore/genaistore/internal/fault"

// ErrInvalid reports an argument that cannot be right. The message says what
// would be. It is the value of that name in the other packages of this module.
var ErrInvalid = fault.Invalid
