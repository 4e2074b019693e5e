package servers

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAReportCountsEachOutcome(t *testing.T) {
	r := &report{entries: []*entry{
		{test: "TestX/one/a", server: NameMoto},
		{test: "TestX/one/b", server: NameMoto, outcome: gapped, note: "ignored"},
		{test: "TestX/two/a", server: NameMinIO, outcome: skipped, note: "not installed", absent: true},
		{test: "TestX/two/b", server: NameMinIO, outcome: skipped, note: "not installed", absent: true},
		{test: "TestY", server: NameS3Mock, outcome: failed},
		{test: "TestZ", server: NameLocalS3, outcome: skipped, note: "not installed", absent: true},
	}}
	r.server(NameMoto, time.Second, 100)
	text := r.text(true)
	require.Contains(t, text, "TestX  moto 5.2.5        1   1          0        0\n")
	require.Contains(t, text, "TestX  MinIO 2026-02-12  0   0          2        0\n")
	require.Contains(t, text, "TestY  S3Mock 5.2.0      0   0          0        1\n")
	require.Contains(t, text, "total                    1   1          3        1\n")
	require.Contains(t, text, "known gap: moto 5.2.5: ignored (b)\n")
	require.Contains(t, text, "skipped: MinIO 2026-02-12: not installed (2 tests)\n")
	require.Contains(t, text, "started moto 5.2.5 in 1s, peak 100 MiB\n")
	require.Contains(t, r.markdown(), "| a | skipped | ok |\n| b | skipped | no: ignored |\n")
	require.Equal(t, []string{"local-s3"}, r.absent(), "MinIO only runs when asked for")
}

// The outcomes that a test has without telling: this test runs itself below, with an
// empty cache, and reads what it prints.
func TestWhatTestsDoIsRecorded(t *testing.T) {
	const variable = "GENAISTORE_REPORT_TEST"
	if os.Getenv(variable) != "" {
		f := fleetOf(t)
		t.Run("passes", func(t *testing.T) { f.report.track(t, NameMoto) })
		t.Run("absent", func(t *testing.T) { Moto(t) })
		t.Run("skips", func(t *testing.T) { f.report.track(t, NameMoto); t.Skip("why") })
		t.Run("gap", func(t *testing.T) { f.report.track(t, NameMoto); Need(t, NameMoto, NullVersion) })
		t.Run("open", func(t *testing.T) {
			f.report.track(t, NameMoto)
			Check(t, NameMoto, NullVersion, func() error { return os.ErrInvalid })
		})
		t.Run("closed", func(t *testing.T) {
			f.report.track(t, NameMoto)
			Check(t, NameMoto, NullVersion, func() error { return nil })
		})
		t.Run("broken", func(t *testing.T) {
			f.report.track(t, NameMoto)
			Check(t, NameMoto, Listing, func() error { return os.ErrInvalid })
		})
		return
	}
	run := func(env ...string) (string, error) {
		self, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), self, "-test.v", "-test.run=^TestWhatTestsDoIsRecorded$")
		cmd.Env = append(os.Environ(), variable+"=1", "GENAISTORE_CACHE="+t.TempDir(), "GENAISTORE_INSTALL=0", namespaceVariable+"=0")
		cmd.Env = append(cmd.Env, env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := run("GENAISTORE_STRICT=")
	require.Error(t, err, "a closed gap and a broken check fail")
	require.Contains(t, out, "total                                  1   2          2        2\n", out)
	require.Contains(t, out, "known gap: moto 5.2.5: the versions before are lost from the list (open)\n")
	require.Contains(t, out, "this passes now; remove the gap")
	require.Contains(t, out, "not installed; GENAISTORE_INSTALL=1 installs it")
	require.NotContains(t, out, "GENAISTORE_STRICT=1, and")
	out, err = run("GENAISTORE_STRICT=1")
	require.Error(t, err)
	require.Contains(t, out, "GENAISTORE_STRICT=1, and these servers are missing: moto")
}
