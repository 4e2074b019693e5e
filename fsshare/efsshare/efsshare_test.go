package efsshare_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/efsshare"
	"github.com/genaistore/genaistore/fsshare/fssharetest"
	"github.com/genaistore/genaistore/internal/nfstest"
)

func open(t testing.TB, dir string) *efsshare.Share {
	t.Helper()
	s, err := efsshare.Open(t.Context(), dir, nil)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func local(t *testing.T) (a, b fsshare.Share) {
	dir := t.TempDir()
	return open(t, dir), open(t, dir)
}

func TestALocalDirectoryPassesTheSuite(t *testing.T) {
	if nfstest.InGuest() {
		t.Skip("the guest is for NFS")
	}
	fssharetest.Run(t, local, nil)
}

func FuzzLocal(f *testing.F) { fssharetest.Fuzz(f, local) }

func BenchmarkLocal(b *testing.B) {
	fssharetest.Bench(b, func(b *testing.B) fsshare.Share { return open(b, b.TempDir()) })
}
