package artifacts

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
)

// MaxRow is how many bytes a row of a shard has at most.
const MaxRow = 64 << 20

// ShardOptions selects shards: the files of a dataset that one worker of many reads. A
// nil *ShardOptions means all files, in the order of their paths.
type ShardOptions struct {
	// Pattern is what the paths of shards are like, in the form of path.Match: "*" is
	// anything but a slash. Empty means every file.
	Pattern string
	// Workers is how many share the shards, Worker which of them this is, from 0. Zero
	// workers means one. No two workers have a shard in common, and all together have
	// each.
	Worker, Workers int
	// Seed shuffles the shards before they are shared, the same way for each worker, so
	// that with another seed in each epoch every worker sees others. Zero leaves them
	// in order.
	Seed uint64
	// After is the last row that was seen: rows begin with the next one. Shards that
	// come before its shard in the order of this worker are left out. Zero begins at the
	// start.
	After RowID
}

// Validate reports an error that matches [ErrInvalid] unless shards can be selected by
// o. It accepts a nil receiver.
func (o *ShardOptions) Validate() error {
	if o == nil {
		return nil
	}
	if _, err := path.Match(o.Pattern, ""); err != nil {
		return fmt.Errorf("%w: pattern %.100q: %w", ErrInvalid, o.Pattern, err)
	}
	if o.Workers < 0 || o.Worker < 0 || o.Worker >= max(o.Workers, 1) {
		return fmt.Errorf("%w: worker %d of %d: workers count from 0", ErrInvalid, o.Worker, o.Workers)
	}
	if o.After.Row < 0 || (o.After.Shard == "") != (o.After.Row == 0) {
		return fmt.Errorf("%w: after row %d of shard %.100q: rows count from 1", ErrInvalid, o.After.Row, o.After.Shard)
	}
	return nil
}

// A RowID says which row of a version one is: the path of its shard and its number,
// from 1. Keep it with a checkpoint, to go on from there.
type RowID struct {
	Shard string
	Row   int64
}

// A Row is one line of a shard, without its end. Data is valid until the next one.
type Row struct {
	ID   RowID
	Data []byte
}

// Shards returns the files of a version that this worker reads, in the order in which
// it does. An After whose shard is not among them is ErrNotFound.
func Shards(ctx context.Context, store Store, id ID, options *ShardOptions) ([]FileInfo, error) {
	if err := options.Validate(); err != nil {
		return nil, fmt.Errorf("shards of %s: %w", id, err)
	}
	opts := *cmp.Or(options, &ShardOptions{})
	files, err := Manifest(ctx, store, id)
	if err != nil {
		return nil, fmt.Errorf("shards: %w", err)
	}
	files = slices.DeleteFunc(files, func(f FileInfo) bool {
		matches, _ := path.Match(opts.Pattern, f.Path)
		return opts.Pattern != "" && !matches
	})
	if opts.Seed != 0 {
		order := rand.New(rand.NewPCG(opts.Seed, 0)) //nolint:gosec // an order, not a secret
		order.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	}
	var mine []FileInfo
	for i := opts.Worker; i < len(files); i += max(opts.Workers, 1) {
		mine = append(mine, files[i])
	}
	if opts.After.Shard == "" {
		return mine, nil
	}
	i := slices.IndexFunc(mine, func(f FileInfo) bool { return f.Path == opts.After.Shard })
	if i < 0 {
		return nil, fmt.Errorf("shards of %s: shard %s of worker %d of %d with seed %d: %w", id, opts.After.Shard, opts.Worker, opts.Workers, opts.Seed, ErrNotFound)
	}
	return mine[i:], nil
}

// Rows yields the lines of the shards of this worker: JSON Lines, CSV or plain text,
// also compressed with gzip where the path ends in ".gz". A shard is read as the loop
// goes, a part at a time and verified, so that a dataset may be larger than the memory
// and the disk. The end of a line may be "\r\n"; the last one needs none; an empty line
// is a row like others. A row of more than [MaxRow] bytes is ErrInvalid.
func Rows(ctx context.Context, store Store, id ID, options *ShardOptions) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		shards, err := Shards(ctx, store, id, options)
		if err != nil {
			yield(Row{}, err)
			return
		}
		after := cmp.Or(options, &ShardOptions{}).After
		for _, shard := range shards {
			if shard.Path != after.Shard {
				after.Row = 0
			}
			goOn, err := rows(ctx, store, id, RowID{shard.Path, after.Row}, func(row Row) bool { return yield(row, nil) })
			if err != nil {
				yield(Row{}, fmt.Errorf("rows of %s: %s: %w", id, shard.Path, err))
			}
			if !goOn || err != nil {
				return
			}
		}
	}
}

// rows calls each with those of one shard after a number, until it does not go on.
func rows(ctx context.Context, store Store, id ID, after RowID, each func(Row) bool) (goOn bool, err error) {
	f, err := store.Open(ctx, id, after.Shard)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	lines, err := newLines(f, after.Shard)
	if err != nil {
		return false, err
	}
	for number := int64(1); ; number++ {
		data, err := lines.next()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err = cmp.Or(ctx.Err(), err); err != nil {
			return false, err
		}
		if number > after.Row && !each(Row{RowID{after.Shard, number}, data}) {
			return false, nil
		}
	}
}

// lines reads lines of any length up to MaxRow through one buffer.
type lines struct {
	r    *bufio.Reader
	long []byte
}

func newLines(f io.Reader, name string) (*lines, error) {
	const block = 1 << 20
	if !strings.HasSuffix(strings.ToLower(name), ".gz") {
		return &lines{r: bufio.NewReaderSize(f, block)}, nil
	}
	plain, err := gzip.NewReader(bufio.NewReaderSize(f, block))
	if err != nil {
		return nil, broken(err)
	}
	return &lines{r: bufio.NewReaderSize(plain, block)}, nil
}

// broken names what is no gzip. The bytes are those that were published.
func broken(err error) error {
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: it is no whole gzip: %w", ErrInvalid, noEOF{err})
	}
	return err
}

// noEOF is an error that does not end a loop.
type noEOF struct{ err error }

func (e noEOF) Error() string { return e.err.Error() }

// next returns a line without its end, and io.EOF after the last one.
func (l *lines) next() ([]byte, error) {
	l.long = l.long[:0]
	for len(l.long) <= MaxRow+2 { // with the end of the line
		part, err := l.r.ReadSlice('\n')
		switch {
		case err == nil && len(l.long) == 0:
			return trimmed(part)
		case err == nil:
			return trimmed(append(l.long, part...))
		case errors.Is(err, bufio.ErrBufferFull):
			l.long = append(l.long, part...)
		case err == io.EOF: // as it is: what a file or gzip wraps is no end
			if l.long = append(l.long, part...); len(l.long) == 0 {
				return nil, io.EOF
			}
			return trimmed(l.long)
		default:
			return nil, broken(err)
		}
	}
	return trimmed(l.long)
}

// trimmed returns a line without its end, unless it is too long.
func trimmed(line []byte) ([]byte, error) {
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	if len(line) > MaxRow {
		return nil, fmt.Errorf("%w: a row of more than %d bytes", ErrInvalid, MaxRow)
	}
	return line, nil
}
