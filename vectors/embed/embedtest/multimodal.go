package embedtest

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"slices"
	"strings"
	"testing"

	"github.com/genaistore/genaistore/vectors/embed"
)

// RunMultimodal runs the suite and, beside, what an [embed.Multimodal] promises of
// images. Each case gets its own embedder from newEmbedder.
func RunMultimodal(t *testing.T, newEmbedder func(t *testing.T) embed.Multimodal) {
	t.Helper()
	Run(t, func(t *testing.T) embed.Embedder { return newEmbedder(t) })
	for _, promise := range []struct {
		name  string
		check func(t *testing.T, m embed.Multimodal)
	}{
		{"inputs come one for one and in order", checkInputs},
		{"an input of text alone has the vector of that text", checkTextInputs},
		{"a query may be an image", checkQueryInput},
		{"no inputs give no vectors", checkNoInputs},
		{"inputs without meaning are refused", checkRefusedInputs},
		{"a cancelled context stops both methods for inputs", checkCancelInputs},
	} {
		t.Run(promise.name, func(t *testing.T) { promise.check(t, newEmbedder(t)) })
	}
}

// Picture returns a PNG of that shade, as files have it.
func Picture(t *testing.T, shade uint8) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for x := range 64 {
		for y := range 64 {
			m.Set(x, y, color.RGBA{shade, uint8(x * 4), uint8(y * 4), 255})
		}
	}
	var file bytes.Buffer
	if err := png.Encode(&file, m); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func checkInputs(t *testing.T, m embed.Multimodal) {
	mixed := []embed.Input{{Image: Picture(t, 0)}, {Text: texts[0]}, {Image: Picture(t, 200)}, {Text: texts[1]}, {Image: Picture(t, 100)}}
	together := inputs(t, m, mixed...)
	for i, input := range mixed {
		if alone := inputs(t, m, input)[0]; !near(alone, together[i]) {
			t.Errorf("input %d has another vector alone than among others", i)
		}
		if len(together[i]) != m.Model().Dimension {
			t.Errorf("input %d has %d elements, want %d", i, len(together[i]), m.Model().Dimension)
		}
	}
	for i := 1; i < len(together); i++ {
		if near(together[0], together[i]) {
			t.Errorf("inputs 0 and %d have the same vector", i)
		}
	}
}

func checkTextInputs(t *testing.T, m embed.Multimodal) {
	for _, text := range texts[:3] {
		if !near(inputs(t, m, embed.Input{Text: text})[0], documents(t, m, text)[0]) {
			t.Errorf("input %.20q has another vector than the document", text)
		}
		if !near(queryInput(t, m, embed.Input{Text: text}), query(t, m, text)) {
			t.Errorf("query input %.20q has another vector than the query", text)
		}
	}
}

func checkQueryInput(t *testing.T, m embed.Multimodal) {
	picture := embed.Input{Image: Picture(t, 50)}
	got := queryInput(t, m, picture)
	if len(got) != m.Model().Dimension || !near(got, queryInput(t, m, picture)) {
		t.Errorf("a vector of %d elements, or another for the same image", len(got))
	}
	kept := slices.Clone(got)
	clear(got)
	if !near(queryInput(t, m, picture), kept) {
		t.Error("writing to a vector changed a later answer")
	}
}

func checkNoInputs(t *testing.T, m embed.Multimodal) {
	if vectors, err := m.Inputs(t.Context(), nil); err != nil || len(vectors) != 0 {
		t.Errorf("got %d vectors and error %v", len(vectors), err)
	}
}

func checkRefusedInputs(t *testing.T, m embed.Multimodal) {
	for name, input := range map[string]embed.Input{
		"nothing": {}, "no image": {Image: []byte("<svg>")}, "an image with a text of no letter": {Image: Picture(t, 1), Text: "?"},
	} {
		if _, err := m.QueryInput(t.Context(), input); !errors.Is(err, embed.ErrInvalid) {
			t.Errorf("query of %s: got error %v, want one that matches ErrInvalid", name, err)
		}
		vectors, err := m.Inputs(t.Context(), []embed.Input{{Text: "fine"}, input})
		if !errors.Is(err, embed.ErrInvalid) || !strings.Contains(err.Error(), "1") || len(vectors) != 0 {
			t.Errorf("%s: got %d vectors and error %v, want none and one that matches ErrInvalid and names position 1", name, len(vectors), err)
		}
	}
}

func checkCancelInputs(t *testing.T, m embed.Multimodal) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	picture := embed.Input{Image: Picture(t, 3)}
	if _, err := m.Inputs(ctx, []embed.Input{picture}); !errors.Is(err, context.Canceled) {
		t.Errorf("Inputs: got error %v", err)
	}
	if _, err := m.QueryInput(ctx, picture); !errors.Is(err, context.Canceled) {
		t.Errorf("QueryInput: got error %v", err)
	}
}

func inputs(t *testing.T, m embed.Multimodal, of ...embed.Input) [][]float32 {
	t.Helper()
	vectors, err := m.Inputs(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	if len(vectors) != len(of) {
		t.Fatalf("got %d vectors for %d inputs", len(vectors), len(of))
	}
	return vectors
}

func queryInput(t *testing.T, m embed.Multimodal, input embed.Input) []float32 {
	t.Helper()
	v, err := m.QueryInput(t.Context(), input)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
