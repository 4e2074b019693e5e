//go:build !(linux && (amd64 || arm64))

package efsshare_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare/efsshare"
)

func TestElsewhereOpenSaysThatItIsUnsupported(t *testing.T) {
	_, err := efsshare.Open(t.Context(), t.TempDir(), nil)
	require.ErrorIs(t, err, errors.ErrUnsupported)
}
