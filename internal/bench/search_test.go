package main

import "testing"

// TestVariants runs each variant once on little data; search itself checks that
// both stores find the same.
func TestVariants(t *testing.T) {
	variants, err := search(t.Context(), 3000, 64)
	if err != nil {
		t.Fatal(err)
	}
	calls, err := codec()
	if err != nil {
		t.Fatal(err)
	}
	variants = append(variants, calls...)
	names := make(map[string]bool)
	for _, v := range variants {
		if err := v.run(t.Context()); err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
		if v.peer != "" && !names[v.peer] {
			t.Errorf("%s is compared with %s, which does not run before it", v.name, v.peer)
		}
		names[v.name] = true
	}
}
