package bedrock_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/meter"
	"github.com/genaistore/genaistore/vectors/embed"
	"github.com/genaistore/genaistore/vectors/embed/bedrock"
	"github.com/genaistore/genaistore/vectors/embed/embedtest"
)

const (
	titanImage = "amazon.titan-embed-image-v1"
	novaID     = "amazon.nova-2-multimodal-embeddings-v1:0"
)

// png is the beginning of a file, which is all that an embedder looks at.
var png = []byte("\x89PNG\r\n\x1a\n1")

const (
	pngText = "iVBORw0KGgox" // in base64
	pngURI  = "data:image/png;base64," + pngText
)

// seeing answers as the models that see do, with a vector that only what they see,
// and what it is for, decides.
func seeing(_ *http.Request, body []byte) (int, string, string) {
	var in struct {
		InputText, InputImage string // Titan
		EmbeddingConfig       struct{ OutputEmbeddingLength int }

		InputType       string `json:"input_type"` // Cohere
		Texts           []string
		Images          []string
		Inputs          []struct{ Content []map[string]string }
		OutputDimension int `json:"output_dimension"`

		SingleEmbeddingParams struct { // Nova
			EmbeddingPurpose   string
			EmbeddingDimension int
			Text               struct{ Value string }
			Image              struct{ Source struct{ Bytes string } }
		}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return refused()
	}
	switch p := in.SingleEmbeddingParams; {
	case p.EmbeddingDimension > 0:
		return answerJSON(map[string]any{"embeddings": []any{map[string]any{"embedding": numbers(p.EmbeddingDimension, p.EmbeddingPurpose, p.Text.Value+p.Image.Source.Bytes)}}})
	case in.EmbeddingConfig.OutputEmbeddingLength > 0:
		return answerJSON(map[string]any{"embedding": numbers(in.EmbeddingConfig.OutputEmbeddingLength, "", in.InputText+in.InputImage), "message": nil})
	}
	seen := append(in.Texts, in.Images...)
	for _, input := range in.Inputs {
		seen = append(seen, fmt.Sprint(input.Content))
	}
	if len(seen) == 0 || len(seen) > 96 || len(in.Texts) > 0 && len(seen) > len(in.Texts) {
		return refused()
	}
	list := make([][]float32, len(seen))
	for i, what := range seen {
		list[i] = numbers(max(in.OutputDimension, 256), in.InputType, what)
	}
	return answerJSON(map[string]any{"embeddings": map[string]any{"float": list}})
}

// A picture, a picture with its caption and a text are in one space: any finds the others.
func ExampleEmbedder_Inputs() {
	embedder, err := bedrock.New(client(seeing), "us.cohere.embed-v4:0", &bedrock.Options{Dimension: 256})
	if err != nil {
		fmt.Println(err)
		return
	}
	vectors, err := embedder.Inputs(context.Background(), []embed.Input{{Image: png}, {Image: png, Text: "a dot"}, {Text: "a dot"}})
	fmt.Println(len(vectors), err)
	_, err = embedder.Inputs(context.Background(), []embed.Input{{Text: "a dot"}, {Image: []byte("BM6")}})
	fmt.Println(err)
	// Output:
	// 3 <nil>
	// embed input 1: invalid: image begins with "BM6", want a file of PNG, JPEG, GIF or WebP
}

func TestFamiliesThatSeeKeepThePromises(t *testing.T) {
	for _, id := range []string{titanImage, "global.cohere.embed-v4:0", novaID} {
		t.Run(id, func(t *testing.T) {
			embedtest.RunMultimodal(t, func(t *testing.T) embed.Multimodal {
				e, err := bedrock.New(client(seeing), id, &bedrock.Options{Dimension: 256})
				require.NoError(t, err)
				return e
			})
		})
	}
}

func TestImagesAreSentAsEachFamilyTakesThem(t *testing.T) {
	alone, captioned := embed.Input{Image: png}, embed.Input{Image: png, Text: "a dot"}
	for name, tt := range map[string]struct {
		id      string
		input   embed.Input
		stored  string
		queried string
	}{
		"Titan": {
			titanImage, alone, `{"inputImage":"` + pngText + `","embeddingConfig":{"outputEmbeddingLength":256}}`,
			`{"inputImage":"` + pngText + `","embeddingConfig":{"outputEmbeddingLength":256}}`,
		},
		"Titan, with a text": {
			titanImage, captioned, `{"inputText":"a dot","inputImage":"` + pngText + `","embeddingConfig":{"outputEmbeddingLength":256}}`,
			`{"inputText":"a dot","inputImage":"` + pngText + `","embeddingConfig":{"outputEmbeddingLength":256}}`,
		},
		"Cohere v4": {
			cohereV4, alone, `{"input_type":"search_document","images":["` + pngURI + `"],"embedding_types":["float"],"truncate":"NONE","output_dimension":256}`,
			`{"input_type":"search_query","images":["` + pngURI + `"],"embedding_types":["float"],"truncate":"NONE","output_dimension":256}`,
		},
		"Cohere v4, with a text": {
			cohereV4, captioned, `{"input_type":"search_document","inputs":[{"content":[{"type":"text","text":"a dot"},{"type":"image_url","image_url":"` + pngURI + `"}]}],"embedding_types":["float"],"truncate":"NONE","output_dimension":256}`,
			`{"input_type":"search_query","inputs":[{"content":[{"type":"text","text":"a dot"},{"type":"image_url","image_url":"` + pngURI + `"}]}],"embedding_types":["float"],"truncate":"NONE","output_dimension":256}`,
		},
		"Nova": {
			novaID, alone, `{"schemaVersion":"nova-multimodal-embed-v1","taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingPurpose":"GENERIC_INDEX","embeddingDimension":256,"image":{"format":"png","detailLevel":"STANDARD_IMAGE","source":{"bytes":"` + pngText + `"}}}}`,
			`{"schemaVersion":"nova-multimodal-embed-v1","taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingPurpose":"IMAGE_RETRIEVAL","embeddingDimension":256,"image":{"format":"png","detailLevel":"STANDARD_IMAGE","source":{"bytes":"` + pngText + `"}}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var bodies []string
			e, err := bedrock.New(client(func(r *http.Request, body []byte) (int, string, string) {
				bodies = append(bodies, string(body))
				return seeing(r, body)
			}), tt.id, &bedrock.Options{Dimension: 256, Searched: bedrock.Images})
			require.NoError(t, err)
			_, err = e.Inputs(t.Context(), []embed.Input{tt.input})
			require.NoError(t, err)
			_, err = e.QueryInput(t.Context(), tt.input)
			require.NoError(t, err)
			require.JSONEq(t, tt.stored, bodies[0])
			require.JSONEq(t, tt.queried, bodies[1])
		})
	}
}

func TestCohereV3TakesOneImageACall(t *testing.T) {
	var bodies []string
	e, err := bedrock.New(client(func(_ *http.Request, body []byte) (int, string, string) {
		bodies = append(bodies, string(body))
		return answerJSON(map[string]any{"embeddings": map[string]any{"float": [][]float32{numbers(1024, "", string(body))}}})
	}), "cohere.embed-multilingual-v3", &bedrock.Options{Concurrency: 1})
	require.NoError(t, err)
	_, err = e.Inputs(t.Context(), []embed.Input{{Image: png}, {Image: png}})
	require.NoError(t, err)
	require.Len(t, bodies, 2)
	require.JSONEq(t, `{"input_type":"image","images":["`+pngURI+`"],"embedding_types":["float"]}`, bodies[0])
}

func TestWhatAFamilyCannotSeeIsInvalid(t *testing.T) {
	for name, tt := range map[string]struct {
		id    string
		input embed.Input
		says  string
	}{
		"an image, to a model of text":            {model, embed.Input{Image: png}, "embeds text alone"},
		"an image with a text, to Nova":           {novaID, embed.Input{Image: png, Text: "a dot"}, "one or the other"},
		"an image with a text, to Cohere v3":      {"cohere.embed-english-v3", embed.Input{Image: png, Text: "a dot"}, "one or the other"},
		"an image that is too large, to Cohere":   {"cohere.embed-english-v3", embed.Input{Image: append(png, make([]byte, 5_000_000)...)}, "5000000 go to"},
		"an image that is too large for Bedrock":  {cohereV4, embed.Input{Image: append(png, make([]byte, 15_000_000)...)}, "15000000 go to"},
		"an image that moves, to Cohere v3":       {"cohere.embed-english-v3", embed.Input{Image: []byte("GIF89a")}, "format gif: cohere.embed-english-v3 takes png, jpeg"},
		"a file that is no image that is known":   {novaID, embed.Input{Image: []byte("BM")}, "PNG, JPEG, GIF or WebP"},
		"a text too long for Cohere, as an input": {"cohere.embed-english-v3", embed.Input{Text: strings.Repeat("long ", 500)}, "takes 2048"},
	} {
		e, err := bedrock.New(client(refusedService), tt.id, nil)
		require.NoError(t, err)
		var m meter.Meter
		_, err = e.Inputs(meter.With(t.Context(), &m), []embed.Input{{Text: "fine"}, tt.input})
		require.ErrorIs(t, err, embed.ErrInvalid, name)
		require.ErrorContains(t, err, tt.says, name)
		require.ErrorContains(t, err, "embed input 1: ", name)
		_, err = e.QueryInput(meter.With(t.Context(), &m), tt.input)
		require.ErrorIs(t, err, embed.ErrInvalid, name)
		require.Zero(t, m.Cost().Requests, name)
	}
}

func refusedService(*http.Request, []byte) (int, string, string) { return refused() }

func TestImagesGoInCallsThatTheModelTakes(t *testing.T) {
	var mu sync.Mutex
	var sizes []int
	e, err := bedrock.New(client(func(r *http.Request, body []byte) (int, string, string) {
		mu.Lock()
		defer mu.Unlock()
		sizes = append(sizes, strings.Count(string(body), "data:image/"))
		require.Less(t, len(body), 25_000_000)
		if len(body) < 1<<20 {
			return seeing(r, body)
		}
		list := make([][]float32, sizes[len(sizes)-1]) // which is not looked at
		for i := range list {
			list[i] = numbers(256, "", "large")
		}
		return answerJSON(map[string]any{"embeddings": map[string]any{"float": list}})
	}), cohereV4, &bedrock.Options{Dimension: 256})
	require.NoError(t, err)
	var inputs []embed.Input
	for i := range 96 {
		inputs = append(inputs, embed.Input{Image: fmt.Append(png, i)}, embed.Input{Text: fmt.Sprint("text ", i)})
	}
	inputs = append(inputs, embed.Input{Image: png, Text: "with a text"})
	for range 4 { // of which three go together by bytes
		inputs = append(inputs, embed.Input{Image: append(png, make([]byte, 4_900_000)...)})
	}
	found, err := e.Inputs(t.Context(), inputs)
	require.NoError(t, err)
	for i := range 96 {
		image := "data:image/png;base64," + base64.StdEncoding.EncodeToString(fmt.Append(png, i))
		require.Equal(t, numbers(256, "search_document", image), found[2*i])
		require.Equal(t, numbers(256, "search_document", fmt.Sprint("text ", i)), found[2*i+1])
	}
	require.ElementsMatch(t, []int{96, 3, 1, 1, 0}, sizes)
}

func TestNovaIsToldWhatIsSearched(t *testing.T) {
	for searched, want := range map[bedrock.Content]string{"": "TEXT_RETRIEVAL", bedrock.Pages: "DOCUMENT_RETRIEVAL", bedrock.Mixed: "GENERIC_RETRIEVAL"} {
		var body string
		e, err := bedrock.New(client(func(r *http.Request, b []byte) (int, string, string) {
			body = string(b)
			return seeing(r, b)
		}), novaID, &bedrock.Options{Searched: searched})
		require.NoError(t, err)
		_, err = e.Query(t.Context(), "hello")
		require.NoError(t, err)
		require.Contains(t, body, `"embeddingPurpose":"`+want+`"`)
	}
}

func TestWhatTitanSaysInThePlaceOfAVectorIsPassedOn(t *testing.T) {
	e, err := bedrock.New(client(func(*http.Request, []byte) (int, string, string) {
		return 200, "", `{"embedding":null,"message":"the image cannot be read"}`
	}), titanImage, nil)
	require.NoError(t, err)
	_, err = e.QueryInput(t.Context(), embed.Input{Image: png})
	require.ErrorIs(t, err, embed.ErrCorrupt)
	require.ErrorContains(t, err, "the image cannot be read")
}
