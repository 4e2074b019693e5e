package bedrock_test

import (
	"cmp"
	"crypto/sha256"
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

// numbers is a vector that only the text and its purpose decide.
func numbers(dimension int, purpose, text string) []float32 {
	vector, sum := make([]float32, dimension), sha256.Sum256(fmt.Append(nil, purpose, text))
	for i := range vector {
		vector[i] = float32(int8(sum[i%len(sum)])) / 128
	}
	return vector
}

func answerJSON(value any) (int, string, string) {
	answer, err := json.Marshal(value)
	if err != nil {
		return http.StatusInternalServerError, "", ""
	}
	return http.StatusOK, "", string(answer)
}

func refused() (int, string, string) {
	return http.StatusBadRequest, "ValidationException", `{"message":"bad request"}`
}

// cohere answers as version 3 or 4 does, in one of the two forms.
func cohere(dimension int, form string) service {
	return func(_ *http.Request, body []byte) (int, string, string) {
		var in struct {
			InputType       string   `json:"input_type"`
			Texts           []string `json:"texts"`
			EmbeddingTypes  []string `json:"embedding_types"`
			OutputDimension int      `json:"output_dimension"`
		}
		if err := json.Unmarshal(body, &in); err != nil || len(in.Texts) == 0 || len(in.Texts) > 96 || len(in.EmbeddingTypes) != 1 {
			return refused()
		}
		list := make([][]float32, len(in.Texts))
		for i, text := range in.Texts {
			list[i] = numbers(cmp.Or(in.OutputDimension, dimension), in.InputType, text)
		}
		if form == "embeddings_floats" {
			return answerJSON(map[string]any{"response_type": form, "embeddings": list})
		}
		return answerJSON(map[string]any{"response_type": form, "embeddings": map[string]any{"float": list}})
	}
}

func nova(_ *http.Request, body []byte) (int, string, string) {
	var in struct {
		TaskType              string
		SingleEmbeddingParams struct {
			EmbeddingPurpose   string
			EmbeddingDimension int
			Text               struct{ Value string }
		}
	}
	if err := json.Unmarshal(body, &in); err != nil || in.TaskType != "SINGLE_EMBEDDING" {
		return refused()
	}
	p := in.SingleEmbeddingParams
	return answerJSON(map[string]any{"embeddings": []any{map[string]any{"embeddingType": "TEXT", "embedding": numbers(p.EmbeddingDimension, p.EmbeddingPurpose, p.Text.Value)}}})
}

func TestEveryFamilyKeepsThePromises(t *testing.T) {
	for id, answers := range map[string]service{
		"us.cohere.embed-v4:0": cohere(0, "embeddings_by_type"), "global.cohere.embed-v4:0": cohere(0, "embeddings_floats"),
		"amazon.nova-2-multimodal-embeddings-v1:0": nova,
	} {
		t.Run(id, func(t *testing.T) {
			embedtest.Run(t, func(t *testing.T) embed.Embedder {
				e, err := bedrock.New(client(answers), id, nil)
				require.NoError(t, err)
				return e
			})
		})
	}
}

// The suite embeds a text longer than Cohere v3 takes.
func TestCohereV3EmbedsWhatItTakes(t *testing.T) {
	for id, form := range map[string]string{"cohere.embed-english-v3": "embeddings_floats", "cohere.embed-multilingual-v3": "embeddings_by_type"} {
		var bodies []string
		e, err := bedrock.New(client(func(r *http.Request, body []byte) (int, string, string) {
			bodies = append(bodies, string(body))
			return cohere(1024, form)(r, body)
		}), id, nil)
		require.NoError(t, err)
		found, err := e.Documents(t.Context(), []string{"one", "two"})
		require.NoError(t, err)
		require.Equal(t, [][]float32{numbers(1024, "search_document", "one"), numbers(1024, "search_document", "two")}, found)
		vector, err := e.Query(t.Context(), "one")
		require.NoError(t, err)
		require.Equal(t, numbers(1024, "search_query", "one"), vector)
		require.NotContains(t, bodies[0], "output_dimension")
	}
}

func TestFamiliesAreToldWhatTheySee(t *testing.T) {
	for id, want := range map[string][2]string{
		"us.cohere.embed-v4:0": {
			`{"input_type":"search_document","texts":["hello"],"embedding_types":["float"],"truncate":"NONE","output_dimension":256}`,
			`{"input_type":"search_query","texts":["hello"],"embedding_types":["float"],"truncate":"NONE","output_dimension":256}`,
		},
		"amazon.nova-2-multimodal-embeddings-v1:0": {
			`{"schemaVersion":"nova-multimodal-embed-v1","taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingPurpose":"GENERIC_INDEX","embeddingDimension":256,"text":{"truncationMode":"NONE","value":"hello"}}}`,
			`{"schemaVersion":"nova-multimodal-embed-v1","taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingPurpose":"TEXT_RETRIEVAL","embeddingDimension":256,"text":{"truncationMode":"NONE","value":"hello"}}}`,
		},
	} {
		var bodies []string
		e, err := bedrock.New(client(func(r *http.Request, body []byte) (int, string, string) {
			bodies = append(bodies, string(body))
			if strings.Contains(id, "nova") {
				return nova(r, body)
			}
			return cohere(0, "embeddings_by_type")(r, body)
		}), id, &bedrock.Options{Dimension: 256})
		require.NoError(t, err)
		_, err = e.Documents(t.Context(), []string{"hello"})
		require.NoError(t, err)
		_, err = e.Query(t.Context(), "hello")
		require.NoError(t, err)
		require.JSONEq(t, want[0], bodies[0])
		require.JSONEq(t, want[1], bodies[1])
	}
}

func TestTextsGoInCallsAsLargeAsTheFamilyTakes(t *testing.T) {
	var mu sync.Mutex
	e, err := bedrock.New(client(func(r *http.Request, body []byte) (int, string, string) {
		mu.Lock()
		defer mu.Unlock()
		return cohere(0, "embeddings_by_type")(r, body)
	}), "eu.cohere.embed-v4:0", &bedrock.Options{Dimension: 256})
	require.NoError(t, err)
	texts := make([]string, 200)
	for i := range texts {
		texts[i] = fmt.Sprint("text ", i)
	}
	var m meter.Meter
	found, err := e.Documents(meter.With(t.Context(), &m), texts)
	require.NoError(t, err)
	require.EqualValues(t, 3, m.Cost().Requests)
	for i, vector := range found {
		require.Equal(t, numbers(256, "search_document", texts[i]), vector)
	}
}

func TestTheVectorSpaceIsTheModelAndNotTheWayToIt(t *testing.T) {
	for id, o := range map[string]*bedrock.Options{
		"cohere.embed-v4:0": nil, "us.cohere.embed-v4:0": nil, "eu.cohere.embed-v4:0": nil,
		"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.cohere.embed-v4:0": nil,
		"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4": {Family: "cohere.embed-v4:0"},
	} {
		e, err := bedrock.New(client(titan), id, o)
		require.NoError(t, err, id)
		require.Equal(t, embed.Model{ID: "cohere.embed-v4:0", Dimension: 1024}, e.Model(), id)
	}
	_, err := bedrock.New(client(titan), "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4", nil)
	require.ErrorContains(t, err, "Options.Family")
}

func TestWhatAFamilyDoesNotTakeIsInvalid(t *testing.T) {
	_, err := bedrock.New(client(titan), "cohere.embed-english-v3", &bedrock.Options{Dimension: 512})
	require.ErrorIs(t, err, embed.ErrInvalid)
	e, err := bedrock.New(client(cohere(1024, "embeddings_floats")), "cohere.embed-english-v3", nil)
	require.NoError(t, err)
	_, err = e.Documents(t.Context(), []string{"short", strings.Repeat("long ", 500)})
	require.ErrorIs(t, err, embed.ErrInvalid)
	require.ErrorContains(t, err, "document 1")
	_, err = e.Query(t.Context(), strings.Repeat("long ", 500))
	require.ErrorIs(t, err, embed.ErrInvalid)
}

func TestAnswersWithTooFewVectorsAreCorrupt(t *testing.T) {
	for _, answer := range []string{`{"embeddings":[]}`, `{"embeddings":{"int8":[[1]]}}`, `{"embeddings":"x"}`, `{}`} {
		e, err := bedrock.New(client(func(*http.Request, []byte) (int, string, string) { return 200, "", answer }), "us.cohere.embed-v4:0", nil)
		require.NoError(t, err)
		_, err = e.Documents(t.Context(), []string{"one", "two"})
		require.ErrorIs(t, err, embed.ErrCorrupt, answer)
		require.ErrorContains(t, err, "documents 0 to 1")
	}
}
