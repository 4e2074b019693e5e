package main

import (
	"slices"
	"strings"
	"testing"
)

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
		for _, p := range v.peers {
			if !names[p.name] {
				t.Errorf("%s is compared with %s, which does not run before it", v.name, p.name)
			}
		}
		names[v.name] = true
	}
	runs, err := measure(t.Context(), variants, 1)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := table(&out, variants, runs); err != nil {
		t.Fatal(err)
	}
	for _, v := range variants {
		if !strings.Contains(out.String(), v.name) {
			t.Errorf("%s is not in the table:\n%s", v.name, &out)
		}
	}
}

func TestChosenKeepsThePeersOfWhatIsAskedFor(t *testing.T) {
	all := []variant{{name: "their search"}, {name: "our search", peers: []peer{{"their search", 1}}}, {name: "their put"}, {name: "our put", peers: []peer{{"their put", 1}}}}
	var names []string
	for _, v := range chosen(all, "our search") {
		names = append(names, v.name)
	}
	if !slices.Equal(names, []string{"their search", "our search"}) {
		t.Errorf("chosen: %q", names)
	}
}
