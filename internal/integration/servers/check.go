package servers

import "testing"

// Need skips a test, as a known gap, on a server that lacks a capability. Call it
// after the server's client was taken.
func Need(t testing.TB, name Name, c Capability) {
	t.Helper()
	f := fleetOf(t)
	if f.aws {
		return
	}
	if how, lacks := Lacks(name, c); lacks {
		f.report.gap(t, name, string(c)+": "+how)
		t.Skipf("known gap of %s: %s: %s", name, c, how)
	}
}

// Check proves a capability of a server with prove, which returns what was wrong.
// A known gap must still be there: its check is skipped and counted while it fails,
// and fails when it passes, so that the table of gaps stays true.
func Check(t testing.TB, name Name, c Capability, prove func() error) {
	t.Helper()
	f := fleetOf(t)
	err := prove()
	how, lacks := Lacks(name, c)
	switch {
	case f.aws || !lacks:
		if err != nil {
			t.Fatalf("%s: %s: %v", name, c, err)
		}
	case err == nil:
		t.Fatalf("%s: %s: this passes now; remove the gap %q from the table", name, c, how)
	default:
		f.report.gap(t, name, how)
		t.Skipf("known gap of %s: %s (%v)", name, how, err)
	}
}
