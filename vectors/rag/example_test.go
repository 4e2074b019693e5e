package rag_test

import (
	"fmt"

	"github.com/genaistore/genaistore/vectors/rag"
)

// A question is searched by words and by meaning, and the two lists are joined.
// Here the second list stands for the answer of a vector index.
func Example() {
	index, err := rag.NewBM25(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = index.Add(
		rag.Document{ID: "chile", Title: "Chile", Text: "The Atacama Desert is the driest in the world."},
		rag.Document{ID: "ghana", Title: "Ghana", Text: "Lake Volta is the largest artificial lake in the world."},
		rag.Document{ID: "oman", Title: "Oman", Text: "A sultan has ruled since 1970."},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	byWords := index.Search("largest man-made lake in the world", 100)
	byMeaning := []rag.Hit{{ID: "ghana", Score: 0.61}, {ID: "oman", Score: 0.22}, {ID: "chile", Score: 0.2}}
	hits, err := rag.Blend([][]rag.Hit{byWords, byMeaning}, &rag.BlendOptions{Weights: []float64{1, 0.4}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, hit := range hits {
		fmt.Printf("%.2f %s\n", hit.Score, hit.ID)
	}
	// Output:
	// 1.40 ghana
	// 0.02 oman
	// 0.00 chile
}

// Rankings whose scores cannot be compared are joined by rank alone.
func ExampleFuse() {
	byWords := []string{"ghana", "chile"}
	byMeaning := []string{"egypt", "ghana"}
	hits, err := rag.Fuse([][]string{byWords, byMeaning}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, hit := range hits {
		fmt.Printf("%.4f %s\n", hit.Score, hit.ID)
	}
	// Output:
	// 0.0325 ghana
	// 0.0164 egypt
	// 0.0161 chile
}

// Chunks know the headings that they stand under, so that each can be found by
// them. Embed Content, not Text.
func ExampleMarkdown() {
	doc := "# Guide\n\n## Install\n\nRun the installer.\n\n## Use\n\nStart it."
	chunks, err := rag.Markdown("guide.md", doc, &rag.ChunkOptions{Title: "Manual"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range chunks {
		fmt.Printf("%s: %q\n", c.Section, c.Text)
	}
	// Output:
	// Manual > Guide > Install: "# Guide\n\n## Install\n\nRun the installer."
	// Manual > Guide > Use: "## Use\n\nStart it."
}
