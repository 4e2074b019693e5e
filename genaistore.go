// Package genaistore opens the four stores of a GenAI application together:
// conversation memory, versioned artifacts, vectors and shared files.
//
// [InMemory] gives all four ready to use, for unit tests, local runs and
// examples. Each store also stands by itself: see packages memory, artifacts,
// vectors and fsshare.
package genaistore

import (
	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/vectors"
)

// Stores are the four stores of one application. Code that takes Stores works
// on any backend; a field may be nil where an application does without it.
type Stores struct {
	Memory    memory.Store    // conversation history and session state
	Artifacts artifacts.Store // checkpoints, models, datasets, documents
	Vectors   vectors.Index   // embeddings
	Files     fsshare.Share   // shared files, locks, published trees
}

// InMemory returns stores in this process, empty and independent of those of
// every other call. The index takes the dimension of the first vector it
// stores, under the cosine metric.
func InMemory() Stores {
	return Stores{
		Memory:    new(memory.InMemory),
		Artifacts: new(artifacts.InMemory),
		Vectors:   new(vectors.InMemory),
		Files:     new(fsshare.InMemory),
	}
}
