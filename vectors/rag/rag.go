// Package rag finds the passages that a language model should read before it
// answers.
//
// A document is split into chunks ([Paragraphs], [Markdown]), each of which is
// embedded and stored in an index of package vectors, and added to a [BM25] index. A
// question is searched in both, by meaning and by words, and [Fuse] joins the
// two rankings into one that is better than either:
//
//	chunks, err := rag.Paragraphs("wa", text, nil)
//	…
//	ranking, err := rag.Fuse([][]string{byWords, byMeaning}, &rag.FuseOptions{K: 20, Weights: []float64{1, 0.5}})
//
// The pieces work on ids and text alone and need no service.
package rag

import "github.com/genaistore/genaistore/internal/fault"

// ErrInvalid reports an argument that cannot be right. The message says what
// would be. It is the value of that name in the other packages of this module.
var ErrInvalid = fault.Invalid
