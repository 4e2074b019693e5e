package servers

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

type outcome int

const (
	passed outcome = iota
	gapped
	skipped
	failed
	outcomes // how many there are
)

func (o outcome) String() string { return [...]string{"ok", "known gap", "skipped", "FAIL"}[o] }

// An entry is one test on one server.
type entry struct {
	test    string
	server  Name
	outcome outcome
	note    string
	absent  bool // the server was
}

// A report collects what ran where. Every client handed out puts the test that took
// it into the report, so suites need do nothing.
type report struct {
	mu      sync.Mutex
	entries []*entry
	started map[Name]started
}

type started struct {
	took time.Duration
	peak int // MiB
}

func (r *report) entry(t testing.TB, name Name) *entry {
	for _, e := range r.entries {
		if e.test == t.Name() && e.server == name {
			return e
		}
	}
	e := &entry{test: t.Name(), server: name}
	r.entries = append(r.entries, e)
	return e
}

// track records the outcome of t when it ends.
func (r *report) track(t testing.TB, name Name) {
	r.mu.Lock()
	e := r.entry(t, name)
	r.mu.Unlock()
	t.Cleanup(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case t.Failed():
			e.outcome = failed
		case t.Skipped() && e.outcome == passed:
			e.outcome, e.note = skipped, cmp.Or(e.note, "by the test itself")
		}
	})
}

func (r *report) gap(t testing.TB, name Name, note string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(t, name)
	e.outcome, e.note = gapped, note
}

// skip records why t does not run, and ends it.
func (r *report) skip(t testing.TB, name Name, why string) {
	t.Helper()
	r.mu.Lock()
	e := r.entry(t, name)
	e.outcome, e.note = skipped, why
	r.mu.Unlock()
	t.Skipf("%s: %s", name, why)
}

// missing is skip for a server that is not there.
func (r *report) missing(t testing.TB, name Name, why string) {
	t.Helper()
	r.mu.Lock()
	r.entry(t, name).absent = true
	r.mu.Unlock()
	r.skip(t, name, why)
}

func (r *report) server(name Name, took time.Duration, peakMiB int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started == nil {
		r.started = map[Name]started{}
	}
	r.started[name] = started{took, peakMiB}
}

// absent names the servers that tests asked for in vain, but not the one that only
// runs when asked for.
func (r *report) absent() []string {
	var names []string
	for _, e := range r.entries {
		s := byName(e.server)
		if e.absent && s != nil && !s.asked {
			names = append(names, string(e.server))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// checkOf is the last part of the name of a test suite/server/check, without what may
// be missing.
func checkOf(test string) string {
	_, rest, nested := strings.Cut(test, "/")
	if !nested {
		return test
	}
	if _, check, ok := strings.Cut(rest, "/"); ok {
		rest = check
	}
	return strings.ReplaceAll(rest, "_", " ")
}

func title(name Name) string {
	return strings.TrimSpace(string(name) + " " + Version(name))
}

// text is the table at the end of a run: a line for each suite (the top-level test)
// and server, then each gap and each reason of a skip.
func (r *report) text(isolated bool) string {
	var b strings.Builder
	b.WriteString("\n")
	for _, name := range slices.Sorted(maps.Keys(r.started)) {
		s := r.started[name]
		fmt.Fprintf(&b, "started %s in %s, peak %d MiB\n", title(name), s.took.Round(time.Millisecond), s.peak)
	}
	if isolated {
		b.WriteString("in a network namespace of its own: nothing left this machine\n")
	}
	type key struct {
		suite  string
		server Name
	}
	rows := map[key]*[outcomes]int{}
	var total [outcomes]int
	notes := map[outcome]map[string][]string{gapped: {}, skipped: {}}
	for _, e := range r.entries {
		suite, _, _ := strings.Cut(e.test, "/")
		k := key{suite, e.server}
		if rows[k] == nil {
			rows[k] = new([outcomes]int)
		}
		rows[k][e.outcome]++
		total[e.outcome]++
		if byNote, ok := notes[e.outcome]; ok {
			note := title(e.server) + ": " + e.note
			byNote[note] = append(byNote[note], checkOf(e.test))
		}
	}
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nsuite\tserver\tok\tknown gap\tskipped\tFAIL")
	keys := slices.SortedFunc(maps.Keys(rows), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.suite, b.suite), cmp.Compare(a.server, b.server))
	})
	for _, k := range keys {
		n := rows[k]
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\n", k.suite, title(k.server), n[passed], n[gapped], n[skipped], n[failed])
	}
	fmt.Fprintf(table, "total\t\t%d\t%d\t%d\t%d\n", total[passed], total[gapped], total[skipped], total[failed])
	table.Flush()
	for _, o := range []outcome{gapped, skipped} {
		for _, note := range slices.Sorted(maps.Keys(notes[o])) {
			checks := notes[o][note]
			if len(checks) == 1 {
				fmt.Fprintf(&b, "%s: %s (%s)\n", o, note, checks[0])
			} else {
				fmt.Fprintf(&b, "%s: %s (%d tests)\n", o, note, len(checks))
			}
		}
	}
	return b.String()
}

// markdown has a table for each suite: a row for each check, a column for each
// server. A check is a subtest named server/check.
func (r *report) markdown() string {
	suites := map[string]map[string]map[Name]*entry{}
	order := map[string][]string{} // the checks of a suite, as they ran
	for _, e := range r.entries {
		suite, _, _ := strings.Cut(e.test, "/")
		check := checkOf(e.test)
		if suites[suite] == nil {
			suites[suite] = map[string]map[Name]*entry{}
		}
		if suites[suite][check] == nil {
			suites[suite][check] = map[Name]*entry{}
			order[suite] = append(order[suite], check)
		}
		suites[suite][check][e.server] = e
	}
	var b strings.Builder
	for _, suite := range slices.Sorted(maps.Keys(suites)) {
		columns := map[Name]bool{}
		for _, row := range suites[suite] {
			for name := range row {
				columns[name] = true
			}
		}
		names := slices.Sorted(maps.Keys(columns))
		fmt.Fprintf(&b, "## %s\n\n| check |", suite)
		for _, name := range names {
			fmt.Fprintf(&b, " %s |", title(name))
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(names)) + "\n")
		for _, check := range order[suite] {
			fmt.Fprintf(&b, "| %s |", check)
			for _, name := range names {
				b.WriteString(" " + cell(suites[suite][check][name]) + " |")
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func cell(e *entry) string {
	switch {
	case e == nil:
		return "-"
	case e.outcome == gapped:
		return "no: " + strings.ReplaceAll(e.note, "|", "\\|")
	}
	return e.outcome.String()
}
