package artifacts_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
)

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func dataset(t *testing.T, store artifacts.Store, files map[string][]byte) artifacts.ID {
	t.Helper()
	p, err := store.Publish(t.Context(), lake, artifacts.Files(files), &artifacts.PublishOptions{Kind: artifacts.Dataset})
	require.NoError(t, err)
	return p.Version.ID
}

func rowsOf(t *testing.T, store artifacts.Store, id artifacts.ID, opts *artifacts.ShardOptions) (rows []string, err error) {
	t.Helper()
	for row, err := range artifacts.Rows(t.Context(), store, id, opts) {
		if err != nil {
			return rows, err
		}
		rows = append(rows, fmt.Sprintf("%s:%d:%s", row.ID.Shard, row.ID.Row, row.Data))
	}
	return rows, nil
}

func TestRowsAreTheLinesOfShards(t *testing.T) {
	var store artifacts.InMemory
	long := strings.Repeat("x", 3<<20)
	id := dataset(t, &store, map[string][]byte{
		"a.jsonl": []byte("{}\n\r\n[1]"), "b.csv": []byte("h\r\nv\n"), "c.jsonl.gz": zipped(t, "z1\nz2\n"), "empty": nil, "long": []byte(long + "\nend"),
	})
	rows, err := rowsOf(t, &store, id, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"a.jsonl:1:{}", "a.jsonl:2:", "a.jsonl:3:[1]", "b.csv:1:h", "b.csv:2:v", "c.jsonl.gz:1:z1", "c.jsonl.gz:2:z2", "long:1:" + long, "long:2:end"}, rows)
	for i, row := range rows {
		parts := strings.SplitN(row, ":", 3)
		after := artifacts.RowID{Shard: parts[0]}
		_, err := fmt.Sscan(parts[1], &after.Row)
		require.NoError(t, err)
		rest, err := rowsOf(t, &store, id, &artifacts.ShardOptions{After: after})
		require.NoError(t, err)
		require.Len(t, rest, len(rows)-i-1, "after %v", after)
		require.Equal(t, append([]string(nil), rows[i+1:]...), rest)
	}
	some, err := rowsOf(t, &store, id, &artifacts.ShardOptions{Pattern: "*.csv"})
	require.NoError(t, err)
	require.Equal(t, []string{"b.csv:1:h", "b.csv:2:v"}, some)
	for range artifacts.Rows(t.Context(), &store, id, nil) {
		break
	}
}

// All workers together have each shard once, whatever the seed, and another seed gives
// another order.
func TestWorkersShareShards(t *testing.T) {
	var store artifacts.InMemory
	files := map[string][]byte{"README.md": nil}
	for i := range 40 {
		files[fmt.Sprintf("part/%02d.txt", i)] = fmt.Append(nil, i)
	}
	id := dataset(t, &store, files)
	orders := map[string]bool{}
	for seed := range uint64(4) {
		var all []string
		for worker := range 3 {
			opts := &artifacts.ShardOptions{Pattern: "part/*", Worker: worker, Workers: 3, Seed: seed}
			mine, err := artifacts.Shards(t.Context(), &store, id, opts)
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(mine), 13)
			again, err := artifacts.Shards(t.Context(), &store, id, opts)
			require.NoError(t, err)
			require.Equal(t, mine, again)
			for _, f := range mine {
				all = append(all, f.Path)
			}
			opts.After = artifacts.RowID{Shard: mine[5].Path, Row: 1}
			rest, err := rowsOf(t, &store, id, opts)
			require.NoError(t, err)
			require.Len(t, rest, len(mine)-6)
		}
		orders[fmt.Sprint(all)] = true
		slices.Sort(all)
		require.Len(t, slices.Compact(all), 40)
	}
	require.Len(t, orders, 4)
}

func TestWhatIsNoShardIsAClearError(t *testing.T) {
	var store artifacts.InMemory
	id := dataset(t, &store, map[string][]byte{"a": []byte("x"), "bad.gz": []byte("no gzip"), "cut.gz": zipped(t, strings.Repeat("abc\n", 1000))[:30], "none.gz": nil, "wide": bytes.Repeat([]byte("x"), artifacts.MaxRow+1)})
	for _, opts := range []artifacts.ShardOptions{
		{Pattern: "["},
		{Worker: 1},
		{Worker: -1, Workers: 2},
		{Workers: -1},
		{Worker: 2, Workers: 2},
		{After: artifacts.RowID{Row: 1}},
		{After: artifacts.RowID{Shard: "a"}},
		{After: artifacts.RowID{Shard: "a", Row: -1}},
		{Pattern: "bad.gz"},
		{Pattern: "cut.gz"},
		{Pattern: "none.gz"},
		{Pattern: "wide"},
	} {
		_, err := rowsOf(t, &store, id, &opts)
		require.ErrorIs(t, err, artifacts.ErrInvalid, "%+v", opts)
	}
	_, err := rowsOf(t, &store, id, &artifacts.ShardOptions{After: artifacts.RowID{Shard: "other", Row: 1}})
	require.ErrorIs(t, err, artifacts.ErrNotFound)
	_, err = rowsOf(t, &store, artifacts.ID{Name: lake, Number: 7}, nil)
	require.ErrorIs(t, err, artifacts.ErrNotFound)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range artifacts.Rows(ctx, &store, id, nil) {
		require.ErrorIs(t, err, context.Canceled)
	}
}

func FuzzRowsAreLines(f *testing.F) {
	f.Add([]byte("a\nb\r\n\n"))
	f.Add([]byte("\r\n\r"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var store artifacts.InMemory
		id := dataset(t, &store, map[string][]byte{"plain": data, "zip.gz": zipped(t, string(data))})
		var want []string
		text := strings.TrimSuffix(string(data), "\n")
		if len(data) > 0 {
			for line := range strings.SplitSeq(text, "\n") {
				want = append(want, strings.TrimSuffix(line, "\r"))
			}
		}
		for _, shard := range []string{"plain", "zip.gz"} {
			var got []string
			for row, err := range artifacts.Rows(t.Context(), &store, id, &artifacts.ShardOptions{Pattern: shard}) {
				require.NoError(t, err)
				got = append(got, string(row.Data))
			}
			require.Equal(t, want, got)
		}
	})
}
