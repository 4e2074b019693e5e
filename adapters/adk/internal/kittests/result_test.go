package kittests

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A test or a subtest of the kit; a package as a whole has no name.
type test struct{ pkg, name string }

func (t test) String() string { return strings.TrimPrefix(t.pkg, kit+"/") + " " + t.name }

// results are what `go test -json` says: pass, fail or skip.
type results map[test]string

func readResults(r io.Reader) (results, error) {
	all := results{}
	for dec := json.NewDecoder(r); ; {
		var e struct{ Action, Package, Test string }
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("not the output of go test -json: %w", err)
		}
		switch e.Action {
		case "pass", "fail", "skip":
			all[test{e.Package, e.Test}] = e.Action
		case "run": // a panic ends its test without a word on those that run
			all[test{e.Package, e.Test}] = "fail"
		}
	}
}

// count counts tests and subtests.
func (r results) count(action string) (n int) {
	for t, a := range r {
		if t.name != "" && a == action {
			n++
		}
	}
	return n
}

// apart reports whether t, or the test that it is a subtest of, fails on the kit's own
// service as well, in about one of four runs.
func apart(t test) bool {
	name, _, _ := strings.Cut(t.name, "/")
	return name == "TestA2AMultiHopInputRequiredCancellation"
}

// failed returns the tests that failed, and the packages that did so with no test to
// blame, as one does that does not build.
func (r results) failed() (list []test) {
	blamed := map[string]bool{}
	for t, a := range r {
		if t.name != "" && a == "fail" {
			blamed[t.pkg] = true
			list = append(list, t)
		}
	}
	for t, a := range r {
		if t.name == "" && a == "fail" && !blamed[t.pkg] {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b test) int { return strings.Compare(a.String(), b.String()) })
	return list
}

// problems says in what ours falls short of the kit's own service: a test that fails,
// or that did not run. calls are the services of ours that each package has made.
func problems(theirs, ours results, packages []string, calls map[string]int) (list []string) {
	for _, t := range ours.failed() {
		if !apart(t) {
			list = append(list, fmt.Sprintf("%s: fail (the kit's own: %s)", t, theirs[t]))
		}
	}
	for _, t := range slices.SortedFunc(maps.Keys(theirs), func(a, b test) int { return strings.Compare(a.String(), b.String()) }) {
		if !apart(t) && ours[t] != theirs[t] && ours[t] != "fail" {
			list = append(list, fmt.Sprintf("%s: %q (the kit's own: %s)", t, ours[t], theirs[t]))
		}
	}
	for _, folder := range packages {
		if calls[folder] == 0 {
			list = append(list, folder+": it has made no service of ours")
		}
	}
	return list
}

func TestWhatFallsShortIsFound(t *testing.T) {
	lines := func(l ...string) results {
		r, err := readResults(strings.NewReader(strings.Join(l, "\n")))
		require.NoError(t, err)
		return r
	}
	line := func(action, name string) string {
		return fmt.Sprintf(`{"Action":%q,"Package":"google.golang.org/adk/v2/runner","Test":%q,"Output":"x"}`, action, name)
	}
	theirs := lines(line("run", "TestA"), line("pass", "TestA/x"), line("pass", "TestA"), line("output", "TestA"), line("skip", "TestB"), line("pass", ""))
	require.Equal(t, [3]int{2, 0, 1}, [3]int{theirs.count("pass"), theirs.count("fail"), theirs.count("skip")})
	made := map[string]int{"runner": 3}
	for name, tt := range map[string]struct {
		ours  results
		calls map[string]int
		want  []string
	}{
		"all is well":                       {theirs, made, nil},
		"a test fails":                      {lines(line("fail", "TestA/x"), line("fail", "TestA"), line("skip", "TestB"), line("fail", "")), made, []string{"runner TestA: fail (the kit's own: pass)", "runner TestA/x: fail (the kit's own: pass)"}},
		"a test is skipped":                 {lines(line("skip", "TestA/x"), line("pass", "TestA"), line("skip", "TestB"), line("pass", "")), made, []string{`runner TestA/x: "skip" (the kit's own: pass)`}},
		"a panic":                           {lines(line("pass", "TestA/x"), line("run", "TestA"), line("fail", "")), made, []string{"runner TestA: fail (the kit's own: pass)", `runner TestB: "" (the kit's own: skip)`}},
		"nothing builds":                    {lines(line("fail", "")), made, []string{"runner : fail (the kit's own: pass)", `runner TestA: "" (the kit's own: pass)`, `runner TestA/x: "" (the kit's own: pass)`, `runner TestB: "" (the kit's own: skip)`}},
		"the kit's own service is still in": {theirs, nil, []string{"runner: it has made no service of ours"}},
		"the test that is apart fails":      {lines(line("pass", "TestA/x"), line("pass", "TestA"), line("skip", "TestB"), line("fail", "TestA2AMultiHopInputRequiredCancellation/y"), line("fail", "TestA2AMultiHopInputRequiredCancellation"), line("fail", "")), made, nil},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, problems(theirs, tt.ours, []string{"runner"}, tt.calls))
		})
	}
	_, err := readResults(strings.NewReader("no JSON"))
	require.ErrorContains(t, err, "go test -json")
}
