package comprehend_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/comprehend"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/comprehend"
)

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	for name, opts := range map[string]comprehend.Options{
		"a language without sentiment":   {Language: "sw"},
		"a classifier that is no ARN":    {Classifier: "intents"},
		"an ARN of another service":      {Classifier: "arn:aws:s3:::document-classifier-endpoint/x"},
		"a classifier, not its endpoint": {Classifier: "arn:aws:comprehend:us-east-1:111122223333:document-classifier/intents"},
		"an ARN too long":                {Classifier: endpoint + strings.Repeat("x", 300)},
		"a negative score":               {MinScore: -0.1},
		"a score above one":              {MinScore: 1.1},
		"no concurrency":                 {Concurrency: -1},
		"too many retries":               {Retries: 11},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := comprehend.New(client(&service{}, 1), &opts)
			require.ErrorIs(t, err, memory.ErrInvalid)
			_, err = comprehend.Policy(&opts)
			require.ErrorIs(t, err, memory.ErrInvalid)
		})
	}
}

// A watched client notes which of the calls are made.
type watched struct {
	comprehend.Client
	mu   sync.Mutex
	made map[string]bool
}

func (w *watched) note(action string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made["comprehend:"+action] = true
}

func (w *watched) BatchDetectDominantLanguage(ctx context.Context, in *sdk.BatchDetectDominantLanguageInput, opts ...func(*sdk.Options)) (*sdk.BatchDetectDominantLanguageOutput, error) {
	w.note("BatchDetectDominantLanguage")
	return w.Client.BatchDetectDominantLanguage(ctx, in, opts...)
}

func (w *watched) BatchDetectSentiment(ctx context.Context, in *sdk.BatchDetectSentimentInput, opts ...func(*sdk.Options)) (*sdk.BatchDetectSentimentOutput, error) {
	w.note("BatchDetectSentiment")
	return w.Client.BatchDetectSentiment(ctx, in, opts...)
}

func (w *watched) ClassifyDocument(ctx context.Context, in *sdk.ClassifyDocumentInput, opts ...func(*sdk.Options)) (*sdk.ClassifyDocumentOutput, error) {
	w.note("ClassifyDocument")
	return w.Client.ClassifyDocument(ctx, in, opts...)
}

func TestThePolicyAllowsTheCallsThatAreMadeAndNoOthers(t *testing.T) {
	for _, opts := range []*comprehend.Options{nil, {Language: "en"}, {Classifier: endpoint}, {Language: "en", Classifier: endpoint}} {
		raw, err := comprehend.Policy(opts)
		require.NoError(t, err)
		var policy struct {
			Version   string
			Statement []struct {
				Effect           string
				Action, Resource []string
			}
		}
		require.NoError(t, json.Unmarshal([]byte(raw), &policy))
		require.Equal(t, "2012-10-17", policy.Version)
		w := &watched{Client: client(&service{}, 1), made: map[string]bool{}}
		e, err := comprehend.New(w, opts)
		require.NoError(t, err)
		_, err = e.Enrich(t.Context(), []string{"en:0.5 a"})
		require.NoError(t, err)
		allowed := map[string]bool{}
		for _, st := range policy.Statement {
			require.Equal(t, "Allow", st.Effect)
			for _, a := range st.Action {
				allowed[a] = true
				want := "*"
				if a == "comprehend:ClassifyDocument" {
					want = endpoint
				}
				require.Equal(t, []string{want}, st.Resource)
			}
		}
		require.Equal(t, w.made, allowed)
	}
}
