package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/vectors"
)

type checkpointCommand struct {
	Publish  publishCommand           `cmd:"" help:"Publish the index as the next version and make it production."`
	List     listCommand              `cmd:"" help:"List the versions."`
	History  checkpointHistoryCommand `cmd:"" help:"Show who moved production, when and why."`
	Load     checkpointLoadCommand    `cmd:"" help:"Load the index of a version, or of production."`
	Rollback rollbackCommand          `cmd:"" help:"Go back to the version before and load its index."`
}

// What a checkpoint is called, and the files in it.
const (
	checkpointPath = "assistant/index"
	production     = "production"
	configFile     = "config.json"
	vectorsFolder  = "vectors" // a file of rows for each source, so that one that did not change is stored once
)

func (a *assistant) checkpoint() artifacts.Name {
	return artifacts.Name{Tenant: a.key.Tenant, Path: checkpointPath}
}

// A configuration is what answers depend on beside the documents.
type configuration struct {
	Model         string  `json:"embeddingModel"`
	Dimension     int     `json:"dimension"`
	Depth         int     `json:"depth"`
	Sources       int     `json:"sources"`
	ChunkSize     int     `json:"chunkSize"`
	MeaningWeight float64 `json:"meaningWeight"`
}

func (a *assistant) configuration() ([]byte, error) {
	model := a.embedder.Model()
	return json.MarshalIndent(configuration{model.ID, model.Dimension, depth, sources, chunkSize, meaningWeight}, "", "  ")
}

type publishCommand struct {
	Reason string `default:"published by hand" help:"Why, for the log."`
}

func (c *publishCommand) run(ctx context.Context, a *assistant) error {
	files, count, err := a.export(ctx)
	if err != nil {
		return err
	}
	p, err := a.stores.Artifacts.Publish(ctx, a.checkpoint(), files, &artifacts.PublishOptions{
		Kind:  artifacts.Checkpoint,
		Owner: a.key.User,
		Tags:  map[string]string{"passages": fmt.Sprint(count)},
		With:  []artifacts.Change{artifacts.SetAlias{Alias: production, Reason: c.Reason}},
	})
	if err != nil {
		return err
	}
	a.printf("version %d is %s: %d passages, %d bytes of which %d were stored already\n", p.Version.ID.Number, production, count, p.Version.Bytes, p.Reused)
	a.changed = true
	return nil
}

// A row is one vector of the index in a checkpoint.
type row struct {
	Key      string           `json:"key"`
	Data     []byte           `json:"data"` // float32, little-endian
	Metadata vectors.Metadata `json:"metadata"`
}

// export writes the index as the files of a checkpoint, rows in the order of
// keys, so that the same vectors give the same file.
func (a *assistant) export(ctx context.Context) (fs.FS, int, error) {
	config, err := a.configuration()
	if err != nil {
		return nil, 0, err
	}
	bySource := map[string][]vectors.Vector{}
	count := 0
	for v, err := range a.stores.Vectors.List(ctx, &vectors.ListOptions{Fields: vectors.Everything}) {
		if err != nil {
			return nil, 0, err
		}
		source := passageOf(v).source
		bySource[source] = append(bySource[source], v)
		count++
	}
	if count == 0 {
		return nil, 0, errors.New("the index is empty: ingest documents first")
	}
	files := map[string][]byte{configFile: config}
	for source, list := range bySource {
		rows, err := encodeRows(list)
		if err != nil {
			return nil, 0, err
		}
		files[path.Join(vectorsFolder, url.PathEscape(source)+".jsonl")] = rows
	}
	return artifacts.Files(files), count, nil
}

func encodeRows(list []vectors.Vector) ([]byte, error) {
	slices.SortFunc(list, func(x, y vectors.Vector) int { return strings.Compare(x.Key, y.Key) })
	var rows bytes.Buffer
	encoder := json.NewEncoder(&rows)
	for _, v := range list {
		r := row{Key: v.Key, Metadata: v.Metadata}
		for _, x := range v.Data {
			r.Data = binary.LittleEndian.AppendUint32(r.Data, math.Float32bits(x))
		}
		if err := encoder.Encode(r); err != nil {
			return nil, err
		}
	}
	return rows.Bytes(), nil
}

type listCommand struct{}

func (*listCommand) run(ctx context.Context, a *assistant) error {
	found := 0
	for v, err := range a.stores.Artifacts.List(ctx, artifacts.Query{Tenant: a.key.Tenant, Path: checkpointPath}) {
		if err != nil {
			return err
		}
		a.printf("version %d: %s passages, %d bytes", v.ID.Number, v.Tags["passages"], v.Bytes)
		if len(v.Aliases) > 0 {
			a.printf(", %s", strings.Join(v.Aliases, " "))
		}
		if v.Quarantined != "" {
			a.printf(", quarantined: %s", v.Quarantined)
		}
		a.printf("\n")
		found++
	}
	if found == 0 {
		a.printf("no checkpoints yet: publish one\n")
	}
	return nil
}

type rollbackCommand struct {
	Reason string `required:"" help:"Why; it quarantines the version that is left."`
}

// run moves the alias first: that is the decision, one record in the log. The
// index follows; a repeat after a crash in between loads it.
func (c *rollbackCommand) run(ctx context.Context, a *assistant) error {
	now, err := a.stores.Artifacts.Resolve(ctx, artifacts.Ref{Name: a.checkpoint(), Alias: production})
	if errors.Is(err, artifacts.ErrNotFound) {
		return errors.New("no checkpoint is production: publish one first")
	}
	if err != nil {
		return err
	}
	_, err = a.stores.Artifacts.Apply(ctx, a.checkpoint(),
		artifacts.Expect{Alias: production, Version: now.ID.Number},
		artifacts.Rollback{Alias: production, Reason: c.Reason})
	if errors.Is(err, artifacts.ErrConflict) {
		return fmt.Errorf("version %d stays: there is no earlier one to go back to: %w", now.ID.Number, err)
	}
	if err != nil {
		return err
	}
	target, err := a.stores.Artifacts.Resolve(ctx, artifacts.Ref{Name: a.checkpoint(), Alias: production})
	if err != nil {
		return err
	}
	count, err := a.restore(ctx, target.ID)
	if err != nil {
		return err
	}
	a.printf("version %d is %s again, with %d passages; version %d is quarantined\n", target.ID.Number, production, count, now.ID.Number)
	a.changed = true
	return nil
}

// restore makes the index hold what a checkpoint holds: first the vectors of
// the checkpoint are put, then those that it lacks are removed.
func (a *assistant) restore(ctx context.Context, id artifacts.ID) (int, error) {
	rows, err := a.readRows(ctx, id)
	if err != nil {
		return 0, fmt.Errorf("checkpoint %s: %w", id, err)
	}
	if _, err := a.stores.Vectors.Put(ctx, vectors.Of(rows...), nil); err != nil {
		return 0, err
	}
	keep := map[string]bool{}
	for _, v := range rows {
		keep[v.Key] = true
	}
	var gone []string
	for v, err := range a.stores.Vectors.List(ctx, &vectors.ListOptions{Fields: vectors.KeysOnly}) {
		if err != nil {
			return 0, err
		}
		if !keep[v.Key] {
			gone = append(gone, v.Key)
		}
	}
	if len(gone) == 0 {
		return len(rows), nil
	}
	_, err = a.stores.Vectors.Delete(ctx, vectors.Selection{Keys: gone}, nil)
	return len(rows), err
}

func (a *assistant) readRows(ctx context.Context, id artifacts.ID) ([]vectors.Vector, error) {
	var all []vectors.Vector
	files := artifacts.FS(ctx, a.stores.Artifacts, id)
	names, err := fs.Glob(files, vectorsFolder+"/*.jsonl")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		list, err := decodeRows(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", name, artifacts.ErrCorrupt, err)
		}
		all = append(all, list...)
	}
	return all, nil
}

func decodeRows(data []byte) ([]vectors.Vector, error) {
	var out []vectors.Vector
	rows := json.NewDecoder(bytes.NewReader(data))
	for {
		var r row
		err := rows.Decode(&r)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", len(out), err)
		}
		if len(r.Data)%4 != 0 {
			return nil, fmt.Errorf("row %d: %d bytes are no list of float32", len(out), len(r.Data))
		}
		v := vectors.Vector{Key: r.Key, Metadata: r.Metadata}
		for word := range slices.Chunk(r.Data, 4) {
			v.Data = append(v.Data, math.Float32frombits(binary.LittleEndian.Uint32(word)))
		}
		out = append(out, v)
	}
}
