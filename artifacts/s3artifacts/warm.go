package s3artifacts

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/meter"
)

// A Speed is how fast objects are restored from an archive, and at which price.
type Speed string

// The speeds of Amazon S3.
const (
	Expedited Speed = "Expedited" // minutes, not from a deep archive
	Standard  Speed = "Standard"  // hours
	Bulk      Speed = "Bulk"      // half a day to two, for next to nothing
)

// WarmOptions adjusts an EnsureWarm. A nil *WarmOptions means the zero value.
type WarmOptions struct {
	// Speed is Standard if empty.
	Speed Speed
	// Days is how long restored copies stay: 7 if zero. One that ends sooner is kept for
	// longer.
	Days int
	// Keep copies what was restored to objects of its own, so that the version can be
	// read for good. Without it the copies end, and the version is archived again.
	Keep bool
	// Wait waits until the version can be read, or the context ends, and asks S3 ever
	// more rarely, at last every 10 minutes.
	Wait bool
	// DryRun restores nothing: it says what there is to do, what it costs and how long
	// it takes.
	DryRun bool
}

// WithDefaults returns what an EnsureWarm acts on. It accepts a nil receiver.
func (o *WarmOptions) WithDefaults() WarmOptions {
	var opts WarmOptions
	if o != nil {
		opts = *o
	}
	opts.Speed, opts.Days = cmp.Or(opts.Speed, Standard), cmp.Or(opts.Days, 7)
	return opts
}

// Validate reports an error that matches [artifacts.ErrInvalid] unless an EnsureWarm
// can act on o. It accepts a nil receiver.
func (o *WarmOptions) Validate() error {
	opts := o.WithDefaults()
	if !slices.Contains([]Speed{Expedited, Standard, Bulk}, opts.Speed) || opts.Days < 1 || opts.Days > 3650 {
		return fmt.Errorf("%w: a restore %.40q for %d days: Expedited, Standard or Bulk, for 1 to 3,650 days", artifacts.ErrInvalid, opts.Speed, opts.Days)
	}
	return nil
}

// A Warmth is how readable a version is. Of its objects, each counted once:
type Warmth struct {
	Objects  int
	Cold     int   // in an archive, and nobody restores them
	Warming  int   // being restored
	Lukewarm int   // restored, for less than the days asked for
	Bytes    int64 // of those that are cold

	// Restored is how many restores this call began, or made longer.
	Restored int
	// Ready is when all of it can be read at the latest, by what S3 says of each speed;
	// of restores that others began, by the slowest. Zero means now.
	Ready time.Time
	// Until is when the first copy ends; zero means never.
	Until time.Time
	// Dollars is what the restores that are cold cost: requests, retrieval, and the
	// copies while they stay, at the list prices of us-east-1. An estimate.
	Dollars float64
}

// Warm says that every object can be read now.
func (w Warmth) Warm() bool { return w.Cold+w.Warming == 0 }

// A rate is a price and a time of a speed, of a class of archive.
type rate struct {
	request, gigabyte float64 // dollars, us-east-1
	takes             time.Duration
}

// rates are by class and speed. The archives of Intelligent-Tiering cost nothing but
// for what is expedited.
func rates() map[string]map[Speed]rate {
	return map[string]map[Speed]rate{
		"GLACIER": {
			Expedited: {10.0 / 1000, 0.03, 5 * time.Minute}, Standard: {0.05 / 1000, 0.01, 5 * time.Hour}, Bulk: {0, 0, 12 * time.Hour},
		},
		"DEEP_ARCHIVE": {
			Standard: {0.10 / 1000, 0.02, 12 * time.Hour}, Bulk: {0.025 / 1000, 0.0025, 48 * time.Hour},
		},
		"ARCHIVE_ACCESS": {
			Expedited: {10.0 / 1000, 0.03, 5 * time.Minute}, Standard: {0, 0, 5 * time.Hour}, Bulk: {0, 0, 12 * time.Hour},
		},
		"DEEP_ARCHIVE_ACCESS": {Standard: {0, 0, 12 * time.Hour}, Bulk: {0, 0, 48 * time.Hour}},
	}
}

// stored is what a gigabyte of S3 Standard costs for a day, in dollars.
const stored = 0.023 / 30

// EnsureWarm restores what of a version lies in an archive, and says how far that
// is. Repeat it, with Wait or from a schedule or an event of S3, until the result is
// Warm: then the log says that the version is Ready, and until when, so that a
// rollback may go to it. What is being restored already is not restored again. Tags
// that would archive its objects are taken from them, until the next [Store.Tier].
//
// It costs what Resolve and Open cost, a HEAD for each object of the version, a POST
// for each that is restored, and what Apply costs once it is Warm. It needs
// s3:RestoreObject and s3:PutObjectTagging. An archive that has no Expedited is
// ErrInvalid, one that has no room for it now ErrThrottled.
func (s *Store) EnsureWarm(ctx context.Context, id artifacts.ID, options *WarmOptions) (Warmth, error) {
	if err := firstError(ctx.Err(), id.Validate(), options.Validate()); err != nil {
		return Warmth{}, wrap("warm", id, err)
	}
	w := &warming{Store: s, opts: options.WithDefaults(), version: id.Number}
	err := w.warm(ctx, id.Name)
	return w.now, wrap("warm", id, err)
}

type warming struct {
	*Store
	opts    WarmOptions
	ledger  *ledger
	version int64
	files   []file

	mu      sync.Mutex
	now     Warmth
	objects []*thawing
}

// A thawing is an object of a version, and what S3 says of it.
type thawing struct {
	at      place
	version string
	size    int64
	class   string // of its archive; empty if it can be read
	ongoing bool
	until   time.Time // of its copy
}

func (w *warming) warm(ctx context.Context, name artifacts.Name) error {
	var err error
	if w.ledger, err = w.current(ctx, name); err != nil {
		return err
	}
	if w.files, err = w.Store.files(ctx, w.ledger, w.version); err != nil {
		return err
	}
	if err := w.untag(ctx); err != nil {
		return err
	}
	began := 0
	for round := 0; ; round++ {
		if err := w.look(ctx); err != nil || w.opts.DryRun {
			return err
		}
		err := w.restore(ctx)
		again := round == 0 && w.now.Warm() && w.now.Restored > 0 // until when, S3 says
		began += w.now.Restored
		w.now.Restored = began
		switch {
		case err != nil:
			return err
		case again:
			continue
		case w.now.Warm():
			return w.ready(ctx)
		case !w.opts.Wait:
			return nil
		}
		if err := rest(ctx, round); err != nil {
			return err
		}
	}
}

// rest waits for a minute, then longer, at most for 10.
func rest(ctx context.Context, round int) error {
	timer := time.NewTimer(min(time.Minute<<min(round, 4), 10*time.Minute))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// untag takes the tags from the objects of the version that would archive them.
func (w *warming) untag(ctx context.Context) error {
	if w.opts.DryRun {
		return nil
	}
	for range 8 {
		n, err := w.noted(ctx, w.ledger)
		if err != nil {
			return err
		}
		g, each := errgroup.WithContext(ctx)
		g.SetLimit(readAhead)
		before := len(n.Tags)
		for _, f := range w.files {
			if n.Tags[f.Key] == archive {
				delete(n.Tags, f.Key)
				g.Go(func() error { return w.tag(each, w.ledger.base+f.Key, f.Version, hot) })
			}
		}
		if err := cmp.Or(ctx.Err(), g.Wait()); err != nil {
			return err
		}
		if before == len(n.Tags) {
			return nil
		}
		if err := w.note(ctx, w.ledger, &n); !errors.Is(err, errUnchecked) {
			return err
		}
	}
	return fmt.Errorf("%w: others change its tags at the same time", artifacts.ErrConflict)
}

// look asks S3 about each object.
func (w *warming) look(ctx context.Context) error {
	w.now, w.objects = Warmth{}, nil
	seen := map[place]bool{}
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(readAhead)
	for _, f := range w.files {
		o := &thawing{at: w.place(w.ledger, f.blob), version: f.Version, size: f.Size}
		if seen[o.at] || f.Key == "" && f.From == "" {
			continue // in a hot tier alone
		}
		seen[o.at] = true
		w.objects = append(w.objects, o)
		g.Go(func() error { return w.head(each, o) })
	}
	if err := cmp.Or(ctx.Err(), g.Wait()); err != nil {
		return err
	}
	for _, o := range w.objects {
		w.count(o)
	}
	return nil
}

func (s *Store) head(ctx context.Context, o *thawing) error {
	in := &s3.HeadObjectInput{Bucket: &o.at.bucket, Key: &o.at.key}
	if o.version != "" {
		in.VersionId = &o.version
	}
	meter.Add(ctx, meter.Cost{Requests: 1})
	out, err := s.client.HeadObject(ctx, in)
	if err != nil {
		return classify(o.at.key, err)
	}
	o.class = cmp.Or(string(out.ArchiveStatus), string(out.StorageClass))
	if _, is := rates()[o.class]; !is {
		o.class = ""
	}
	o.ongoing, o.until = restoreOf(value(out.Restore))
	return nil
}

// restoreOf reads the header of a restore: that it goes on, or when its copy ends.
func restoreOf(header string) (ongoing bool, until time.Time) {
	if _, date, is := strings.Cut(header, `expiry-date="`); is {
		date, _, _ = strings.Cut(date, `"`)
		until, _ = http.ParseTime(date)
	}
	return strings.Contains(header, `ongoing-request="true"`), until
}

// count adds an object to what is known of the version.
func (w *warming) count(o *thawing) {
	w.now.Objects++
	if o.class == "" {
		return
	}
	takes := rates()[o.class][w.opts.Speed]
	switch {
	case o.ongoing:
		w.now.Warming++
		for _, r := range rates()[o.class] {
			takes.takes = max(takes.takes, r.takes)
		}
	case o.until.IsZero():
		w.now.Cold++
		w.now.Bytes += o.size
		gigabytes := float64(o.size) / (1 << 30)
		w.now.Dollars += takes.request + gigabytes*takes.gigabyte
		if !strings.HasSuffix(o.class, "_ACCESS") {
			w.now.Dollars += gigabytes * stored * float64(w.opts.Days)
		}
	default:
		if w.now.Until.IsZero() || o.until.Before(w.now.Until) {
			w.now.Until = o.until
		}
		if w.soon(o) {
			w.now.Lukewarm++
		}
		return
	}
	if ready := time.Now().Add(takes.takes); ready.After(w.now.Ready) {
		w.now.Ready = ready
	}
}

// soon says whether a copy ends before the days that are asked for have passed. An
// hour less is as good, or a repeated call would make it longer each time.
func (w *warming) soon(o *thawing) bool {
	return o.until.Before(time.Now().Add(time.Duration(w.opts.Days)*day - time.Hour))
}

// restore begins what is missing.
func (w *warming) restore(ctx context.Context) error {
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(readAhead)
	for _, o := range w.objects {
		if o.class == "" || o.ongoing || !o.until.IsZero() && !w.soon(o) {
			continue
		}
		g.Go(func() error { return w.begin(each, o) })
	}
	return cmp.Or(ctx.Err(), g.Wait())
}

func (w *warming) begin(ctx context.Context, o *thawing) error {
	request := &types.RestoreRequest{GlacierJobParameters: &types.GlacierJobParameters{Tier: types.Tier(w.opts.Speed)}}
	if !strings.HasSuffix(o.class, "_ACCESS") {
		request.Days = new(int32(w.opts.Days))
	}
	in := &s3.RestoreObjectInput{Bucket: &o.at.bucket, Key: &o.at.key, RestoreRequest: request}
	if o.version != "" {
		in.VersionId = &o.version
	}
	meter.Add(ctx, meter.Cost{Requests: 1})
	_, err := w.client.RestoreObject(ctx, in)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.now.Restored++
	case absence(err, "RestoreAlreadyInProgress"):
	case absence(err, "GlacierExpeditedRetrievalNotAvailable"):
		return fmt.Errorf("%s: %w: %w", o.at.key, artifacts.ErrThrottled, err)
	case absence(err, "InvalidArgument"):
		return fmt.Errorf("%s: %w: %s from %s: %w", o.at.key, artifacts.ErrInvalid, w.opts.Speed, o.class, err)
	default:
		return classify(o.at.key, err)
	}
	return nil
}

// ready says in the log that the version can be read, and until when. What is to be
// kept is copied before.
func (w *warming) ready(ctx context.Context) error {
	if w.opts.Keep && !w.now.Until.IsZero() {
		if err := w.keep(ctx); err != nil {
			return err
		}
		w.now.Until, w.now.Lukewarm = time.Time{}, 0
	}
	_, err := w.commit(ctx, w.ledger, func(f *fold) (*entry, error) {
		if f.manifests[w.version] == nil {
			return nil, fmt.Errorf("version %d was deleted: %w", w.version, artifacts.ErrNotFound)
		}
		if until, archived := f.archived[w.version]; !archived || !w.now.Until.IsZero() && until.Equal(w.now.Until) {
			return nil, errNothing
		}
		r, err := f.own(w.record(rand.Text(), nil))
		return &entry{Record: r, Warmed: &warmed{w.version, w.now.Until}}, err
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	return err
}

// keep copies the objects that were restored, and has the version use the copies.
func (w *warming) keep(ctx context.Context) error {
	archived := map[place]bool{}
	for _, o := range w.objects {
		if o.class != "" {
			archived[o.at] = true
		}
	}
	m := w.moving(w.ledger, func(f file) bool { return archived[w.place(w.ledger, f.blob)] })
	return m.move(ctx, w.version)
}
