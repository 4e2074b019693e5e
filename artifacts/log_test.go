package artifacts_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
)

// planned returns a log with three versions and "live" at the third, its
// records, and the versions it published.
func planned(t *testing.T) (*artifacts.Log, []artifacts.Record) {
	t.Helper()
	var (
		log     artifacts.Log
		records []artifacts.Record
	)
	for range 3 {
		r, err := log.Plan(artifacts.Record{ID: "p" + strings.Repeat("x", len(records)), Time: time.Unix(9, 0), Changes: []artifacts.Change{artifacts.SetAlias{Alias: "live"}}}, blank())
		require.NoError(t, err)
		require.NoError(t, log.Append(r, blank()))
		records = append(records, r)
	}
	return &log, records
}

func blank() *artifacts.Version {
	return &artifacts.Version{ID: artifacts.ID{Name: ranker}, Files: 1, Ready: true}
}

func TestAPlanChangesNothing(t *testing.T) {
	log, records := planned(t)
	r, err := log.Plan(artifacts.Record{ID: "x", Changes: []artifacts.Change{artifacts.Rollback{Alias: "live", Reason: "worse"}}}, nil)
	require.NoError(t, err)
	require.Equal(t, []artifacts.Move{{Alias: "live", From: 3, To: 2}}, r.Moved)
	require.Equal(t, records[2].Digest, log.Last().Digest)
	v, err := log.Resolve(artifacts.Ref{Alias: "live"})
	require.NoError(t, err)
	require.Equal(t, int64(3), v.ID.Number)
	require.Empty(t, v.Quarantined)
	require.NoError(t, log.Append(r, nil))
	v, err = log.Resolve(artifacts.Ref{Alias: "live"})
	require.NoError(t, err)
	require.Equal(t, int64(2), v.ID.Number)
}

func TestARollbackIsReplayedWhereItWent(t *testing.T) {
	log, _ := planned(t)
	log.Mark(2, true, false) // in an archive class when it was rolled back
	r, err := log.Plan(artifacts.Record{ID: "x", Changes: []artifacts.Change{artifacts.Rollback{Alias: "live", Reason: "worse"}}}, nil)
	require.NoError(t, err)
	require.Equal(t, []artifacts.Move{{Alias: "live", From: 3, To: 1}}, r.Moved)
	elsewhere, _ := planned(t) // knows nothing of archives
	require.NoError(t, elsewhere.Append(r, nil))
	v, err := elsewhere.Resolve(artifacts.Ref{Alias: "live"})
	require.NoError(t, err)
	require.Equal(t, int64(1), v.ID.Number)
}

func TestALogRefusesRecordsThatCannotBe(t *testing.T) {
	seal := func(r artifacts.Record) artifacts.Record {
		sum, err := r.Sum()
		require.NoError(t, err)
		r.Digest = sum
		return r
	}
	for what, spoil := range map[string]func(r *artifacts.Record){
		"a gap":                      func(r *artifacts.Record) { r.Seq++ },
		"another predecessor":        func(r *artifacts.Record) { r.Prev = artifacts.ContentDigest(nil) },
		"a version without files":    func(r *artifacts.Record) { r.Publish = 4 },
		"a move that nothing made":   func(r *artifacts.Record) { r.Moved = append(r.Moved, artifacts.Move{Alias: "x", To: 1}) },
		"a move that did not happen": func(r *artifacts.Record) { r.Moved = nil },
		"a rollback forward":         func(r *artifacts.Record) { r.Moved[0].To = 3 },
		"a version that is not":      func(r *artifacts.Record) { r.Changes = append(r.Changes, artifacts.Pin{Version: 9, By: "x"}) },
		"a change of version 0":      func(r *artifacts.Record) { r.Changes = append(r.Changes, artifacts.Pin{By: "x"}) },
	} {
		log, _ := planned(t)
		r, err := log.Plan(artifacts.Record{ID: "x", Changes: []artifacts.Change{artifacts.Rollback{Alias: "live", Reason: "worse"}}}, nil)
		require.NoError(t, err)
		spoil(&r)
		require.ErrorIs(t, log.Append(r, nil), artifacts.ErrCorrupt, "%s, by its digest", what)
		require.ErrorIs(t, log.Append(seal(r), nil), artifacts.ErrCorrupt, what)
		require.Equal(t, int64(3), log.Last().Seq)
		v, err := log.Resolve(artifacts.Ref{Alias: "live"})
		require.NoError(t, err)
		require.Equal(t, int64(3), v.ID.Number, what)
	}
	log, _ := planned(t)
	r, err := log.Plan(artifacts.Record{ID: "x", Changes: []artifacts.Change{artifacts.Pin{Version: 1, By: "x"}}}, nil)
	require.NoError(t, err)
	require.ErrorIs(t, log.Append(r, blank()), artifacts.ErrCorrupt, "a version that the record does not publish")
}

func TestALogTakesRecordsThatABackendKeepsForItself(t *testing.T) {
	log, records := planned(t)
	own := artifacts.Record{Seq: 4, Prev: records[2].Digest, ID: "condemn", Content: artifacts.ContentDigest(nil)}
	sum, err := own.Sum()
	require.NoError(t, err)
	own.Digest = sum
	require.NoError(t, log.Append(own, nil))
	require.Equal(t, int64(4), log.Last().Seq)
	require.Equal(t, int64(4), log.Next())
}

func TestTheTextOfARecordIsFixed(t *testing.T) {
	// Golden: a log that was written must verify for ever.
	r := artifacts.Record{
		Seq: 2, Time: time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.FixedZone("", 3600)), By: "ci", ID: "run/7", Prev: "sha256:00", Content: "sha256:11", Publish: 1,
		Changes: []artifacts.Change{
			artifacts.SetAlias{Alias: "live", Version: 1, Reason: "a<b>&c"},
			artifacts.Rollback{Alias: "live", Reason: "r", Evidence: []artifacts.Sample{{Metric: "m", Value: 1.5e-9, N: 3, At: time.Unix(0, 0)}}},
			artifacts.Note{Version: 1, Metrics: map[string]artifacts.Metric{"b": {Value: 2, Better: artifacts.Lower}, "a": {}}, Tags: map[string]string{"z": "1", "y": ""}},
		},
		Moved: []artifacts.Move{{Alias: "live", From: 0, To: 1}},
	}
	text, err := json.Marshal(r)
	require.NoError(t, err)
	direct, err := r.MarshalJSON()
	require.NoError(t, err)
	golden := `{"by":"ci","changes":[{"alias":"live","op":"alias","reason":"a<b>&c","version":1},` +
		`{"alias":"live","evidence":[{"at":"1970-01-01T00:00:00Z","metric":"m","n":3,"value":1.5e-9}],"op":"rollback","reason":"r"},` +
		`{"metrics":{"a":{"value":0},"b":{"better":1,"value":2}},"op":"note","tags":{"y":"","z":"1"},"version":1}],` +
		`"content":"sha256:11","id":"run/7","moved":[{"alias":"live","from":0,"to":1}],"prev":"sha256:00","publish":1,"seq":2,"time":"2026-01-02T02:04:05.6Z"}`
	require.Equal(t, golden, string(direct))
	sum, err := r.Sum()
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(golden))), sum)
	var back artifacts.Record
	require.NoError(t, json.Unmarshal(text, &back))
	again, err := back.Sum()
	require.NoError(t, err)
	require.Equal(t, sum, again, "also by an encoder that escapes more")
}

func TestARecordThatIsNotUnderstoodIsCorrupt(t *testing.T) {
	for _, text := range []string{
		`{"seq":1,"time":"2026-01-02T02:04:05Z","changes":[{"op":"explode"}]}`, `{"seq":1,"time":"2026-01-02T02:04:05Z","more":1}`,
		`{"seq":"1"}`, `{"time":"yesterday"}`, `[]`,
	} {
		var r artifacts.Record
		require.ErrorIs(t, json.Unmarshal([]byte(text), &r), artifacts.ErrCorrupt, text)
		require.Zero(t, r)
	}
	_, err := artifacts.Record{Changes: []artifacts.Change{artifacts.Note{Metrics: map[string]artifacts.Metric{"m": {Value: math.NaN()}}}}}.Sum()
	require.Error(t, err)
	require.ErrorIs(t, artifacts.Record{Seq: 1, Changes: []artifacts.Change{artifacts.Note{Metrics: map[string]artifacts.Metric{"m": {Value: math.NaN()}}}}}.Follows(artifacts.Record{}), artifacts.ErrCorrupt)
}

func FuzzARecordComesBackFromItsText(f *testing.F) {
	f.Add("live", "why", int64(3), 0.25, int64(7), "k", "v")
	f.Fuzz(func(t *testing.T, alias, reason string, version int64, value float64, at int64, key, tag string) {
		r := artifacts.Record{Seq: 1, Time: time.Unix(at%1e9, at%1e9).UTC(), ID: reason, Changes: []artifacts.Change{
			artifacts.SetAlias{Alias: alias, Version: version, Reason: reason},
			artifacts.RemoveAlias{Alias: alias},
			artifacts.Rollback{Alias: alias, Reason: reason, Evidence: []artifacts.Sample{{Metric: key, Value: value, N: version, At: time.Unix(at%1e9, 0).UTC()}}},
			artifacts.Quarantine{Version: version, Reason: reason},
			artifacts.Release{Version: version},
			artifacts.Pin{Version: version, By: reason},
			artifacts.Unpin{Version: version, By: reason},
			artifacts.Delete{Version: version, Reason: reason},
			artifacts.Expect{Alias: alias, Version: version},
			artifacts.Note{Version: version, Metrics: map[string]artifacts.Metric{key: {Value: value, N: version, Better: artifacts.Higher}}, Tags: map[string]string{key: tag}},
		}}
		if artifacts.ValidateChanges(r.Changes...) != nil {
			return
		}
		text, err := json.Marshal(r)
		require.NoError(t, err)
		var back artifacts.Record
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, r, back)
	})
}

func TestBackIsWhereARollbackMayGoTheNextOneFirst(t *testing.T) {
	log, _ := planned(t)
	back := func() (out []int64) {
		for v := range log.Back("live") {
			out = append(out, v.ID.Number)
		}
		return out
	}
	apply := func(changes ...artifacts.Change) {
		r, err := log.Plan(artifacts.Record{ID: "x", Changes: changes}, nil)
		require.NoError(t, err)
		require.NoError(t, log.Append(r, nil))
	}
	require.Equal(t, []int64{2, 1}, back())
	log.Mark(2, true, false)
	require.Equal(t, []int64{2, 1}, back(), "ready or not")
	apply(artifacts.SetAlias{Alias: "live", Version: 1}, artifacts.SetAlias{Alias: "live", Version: 3})
	require.Equal(t, []int64{1, 2}, back(), "each once")
	apply(artifacts.Quarantine{Version: 1, Reason: "worse"})
	require.Equal(t, []int64{2}, back())
	apply(artifacts.Delete{Version: 2})
	require.Empty(t, back())
	for range log.Back("absent") {
		t.Error("an alias that is absent has nothing to go back to")
	}
}
