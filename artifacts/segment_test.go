package artifacts_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
)

func FuzzEscapeSegment(f *testing.F) {
	for _, text := range []string{".", "..", "...", "%", "a/b", "a%2Fb", "\xff", "\u0085", "\ufffd", "日本語 @="} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" {
			return
		}
		segment := artifacts.EscapeSegment(text)
		back, err := artifacts.UnescapeSegment(segment)
		require.NoError(t, err)
		require.Equal(t, text, back)
		if len(segment) <= artifacts.MaxSegment {
			require.NoError(t, artifacts.Name{Path: segment}.Validate())
		}
	})
}

func TestSegmentsThatNobodyWroteAreRefused(t *testing.T) {
	for _, segment := range []string{"%", "%2", "%41", "%2f", "a/b", ".", "..", "a%2Eb"} {
		_, err := artifacts.UnescapeSegment(segment)
		require.ErrorIs(t, err, artifacts.ErrCorrupt, segment)
	}
}
