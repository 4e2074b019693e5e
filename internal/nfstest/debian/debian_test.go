//go:build linux && amd64

package debian

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnotherPackageUnderAKnownNameIsRefused(t *testing.T) {
	set := Set{Packages: []string{"a"}, Known: map[string]string{"a_1_amd64": strings.Repeat("0", 64)}}
	deb := filepath.Join(t.TempDir(), "a_1_amd64.deb")
	require.NoError(t, os.WriteFile(deb, []byte("not it"), 0o600))
	_, err := set.check(deb, &strings.Builder{})
	require.ErrorContains(t, err, "not the package of that version")
}

func TestAPackageOfAnotherVersionIsUsedAndNamed(t *testing.T) {
	deb := filepath.Join(t.TempDir(), "a_99.1_amd64.deb")
	require.NoError(t, os.WriteFile(deb, []byte("a new one"), 0o600))
	var log strings.Builder
	name, err := Set{Packages: []string{"a"}}.check(deb, &log)
	require.NoError(t, err)
	require.Equal(t, "a_99.1_amd64", name)
	require.Contains(t, log.String(), "a_99.1_amd64 is not a version this was tested with")
}

func TestWhatIsThereIsNotFetchedAgain(t *testing.T) {
	cache := t.TempDir()
	require.NoError(t, Install(t.Context(), cache, Set{Packages: []string{"no-such-package"}}, &strings.Builder{}, func() bool { return true }))
	left, err := os.ReadDir(cache)
	require.NoError(t, err)
	require.Len(t, left, 1, "the lock alone")
}

func TestAPackageThatDoesNotExistIsAnErrorAndLeavesNothing(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // nor does apt-get
	cache := t.TempDir()
	err := Install(t.Context(), cache, Set{Packages: []string{"no-such-package"}}, &strings.Builder{}, func() bool { return false })
	require.ErrorContains(t, err, "download no-such-package: apt-get")
	left, err := os.ReadDir(cache)
	require.NoError(t, err)
	require.Len(t, left, 1, "the lock alone")
}
