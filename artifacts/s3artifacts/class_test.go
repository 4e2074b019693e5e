package s3artifacts_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/artifacts/s3artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
)

// A vault is a bucket in which versions get old: all clocks are those of the bubble.
type vault struct {
	*testing.T
	fake   *awsfake.S3
	client *s3.Client
	store  *s3artifacts.Store
}

const aDay = 24 * time.Hour

// inVault runs a test in a bucket with rules for tiers, with versions and without.
func inVault(t *testing.T, do func(x *vault)) {
	for _, unversioned := range []bool{false, true} {
		t.Run(fmt.Sprintf("unversioned %t", unversioned), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := awsfake.NewS3()
				x := &vault{T: t, fake: fake, client: fake.Client()}
				_, err := s3artifacts.EnsureBucket(t.Context(), x.client, "bucket", &s3artifacts.BucketOptions{
					Cold: "GLACIER_IR", Archive: "GLACIER", Unversioned: unversioned,
				})
				require.NoError(t, err)
				x.store = open(t, x.client, nil)
				do(x)
			})
		})
	}
}

// large is content that lifecycle rules move.
func large(text string) []byte { return bytes.Repeat([]byte(text), (128<<10)/len(text)+1) }

// publish publishes files of such content, a day after what was published before.
func (x *vault) publish(alias string, pairs ...string) {
	x.Helper()
	files := map[string][]byte{"note": []byte(strings.Join(pairs, " "))}
	for i := 0; i < len(pairs); i += 2 {
		files[pairs[i]] = large(pairs[i+1])
	}
	opts := &artifacts.PublishOptions{}
	if alias != "" {
		opts.With = []artifacts.Change{artifacts.SetAlias{Alias: alias}}
	}
	_, err := x.store.Publish(x.Context(), ranker, artifacts.Files(files), opts)
	require.NoError(x, err)
	time.Sleep(aDay)
}

func (x *vault) tier(t *s3artifacts.Tiering) s3artifacts.Tiered {
	x.Helper()
	done, err := x.store.Tier(x.Context(), ranker, t)
	require.NoError(x, err)
	return done
}

func (*vault) id(n int64) artifacts.ID { return artifacts.ID{Name: ranker, Number: n} }

// read returns how reading a version in a new process fails.
func (x *vault) read(n int64) error {
	x.Helper()
	store := open(x, x.client, nil)
	files, err := artifacts.Manifest(x.Context(), store, x.id(n))
	require.NoError(x, err)
	for _, f := range files {
		if _, err := fs.ReadFile(artifacts.FS(x.Context(), store, x.id(n)), f.Path); err != nil {
			return err
		}
	}
	return nil
}

// ready returns which versions are, in a new process.
func (x *vault) ready() string {
	x.Helper()
	out := ""
	for v, err := range open(x, x.client, nil).List(x.Context(), artifacts.Query{Tenant: ranker.Tenant}) {
		require.NoError(x, err)
		if v.Ready {
			out = fmt.Sprint(v.ID.Number, " ", out)
		}
	}
	return strings.TrimSpace(out)
}

// warm is EnsureWarm of version 1.
func (x *vault) warm(opts *s3artifacts.WarmOptions) s3artifacts.Warmth {
	x.Helper()
	w, err := x.store.EnsureWarm(x.Context(), x.id(1), opts)
	require.NoError(x, err)
	return w
}

// classes counts objects of files that rules move, by their class.
func (x *vault) classes() string {
	x.Helper()
	out, err := x.client.ListObjectsV2(x.Context(), &s3.ListObjectsV2Input{Bucket: new("bucket"), Prefix: new(tamperedBase + "b/")})
	require.NoError(x, err)
	count := map[types.ObjectStorageClass]int{}
	for _, o := range out.Contents {
		if *o.Size >= 128<<10 {
			count[o.StorageClass]++
		}
	}
	return strings.TrimPrefix(fmt.Sprint(count), "map")
}

var old = &s3artifacts.Tiering{Cold: 6 * aDay, Archive: 12 * aDay}

// Versions 1 to 5 share a file with one another, and alias live was at 2, 3 and 5.
func (x *vault) history() {
	x.publish("", "own", "one", "shared", "all")
	x.publish("live", "own", "two", "shared", "all")
	x.publish("live", "own", "three", "shared", "all")
	x.publish("", "own", "four")
	x.publish("live", "own", "five", "shared", "all")
}

func TestTierKeepsWarmWhatIsNeeded(t *testing.T) {
	inVault(t, func(x *vault) {
		t := x.T
		x.history()
		require.Equal(t, s3artifacts.Tiered{Hot: 5, HotBytes: x.bytes(6)}, x.tier(old), "all are young")
		time.Sleep(5 * aDay)
		done := x.tier(old)
		require.Equal(t, 4, done.Cold)
		require.Equal(t, 4, done.Tagged, "the file of each that no other has")
		require.Equal(t, s3artifacts.Tiered{Hot: 1, Cold: 4, HotBytes: done.HotBytes, ColdBytes: done.ColdBytes}, x.tier(old), "a second time changes nothing")
		time.Sleep(aDay)
		require.Equal(t, "[GLACIER_IR:4 STANDARD:2]", x.classes())
		require.Equal(t, "1 2 3 4 5", x.ready())

		time.Sleep(10 * aDay)
		preview := *old
		preview.DryRun = true
		require.Equal(t, 3, x.tier(&preview).Tagged)
		require.Equal(t, "1 2 3 4 5", x.ready())
		done = x.tier(old)
		require.Equal(t, []int{1, 1, 3}, []int{done.Hot, done.Cold, done.Archived}, "live is at 5, and 3 is where a rollback goes")
		require.Equal(t, "3 5", x.ready(), "from then on, though nothing has moved")
		require.NoError(t, x.read(1))
		time.Sleep(aDay)
		require.Equal(t, "[GLACIER:3 GLACIER_IR:1 STANDARD:2]", x.classes())
		require.NoError(t, x.read(3))
		require.NoError(t, x.read(5))
		require.ErrorIs(t, x.read(1), artifacts.ErrArchived)
		for r, err := range x.store.History(t.Context(), ranker, nil) {
			require.NoError(t, err, r.Seq)
		}

		// What is in an archive is sent again, and what is not is not.
		p := publish(t, x.store, artifacts.Files(map[string][]byte{"own": large("one"), "shared": large("all")}), nil)
		require.Equal(t, int64(len(large("one"))), p.Sent)
		require.NoError(t, x.read(p.Version.ID.Number))
		require.Equal(t, "3 5 6", x.ready())
	})
}

// bytes is the size of n files.
func (x *vault) bytes(n int) (size int64) {
	out, err := x.client.ListObjectsV2(x.Context(), &s3.ListObjectsV2Input{Bucket: new("bucket"), Prefix: new(tamperedBase + "b/")})
	require.NoError(x, err)
	found := 0
	for _, o := range out.Contents {
		if *o.Size >= 128<<10 {
			found++
			size += *o.Size
		}
	}
	require.Equal(x, n, found)
	return size
}

func TestARollbackGoesPastAnArchive(t *testing.T) {
	inVault(t, func(x *vault) {
		t := x.T
		x.history()
		time.Sleep(20 * aDay)
		x.tier(old)
		back, err := x.store.Back(t.Context(), ranker, "live")
		require.NoError(t, err)
		require.Len(t, back, 2)
		require.True(t, back[0].ID.Number == 3 && back[0].Ready && back[1].ID.Number == 2 && !back[1].Ready)
		r, err := x.store.Apply(t.Context(), ranker, artifacts.Rollback{Alias: "live", Reason: "worse"})
		require.NoError(t, err)
		require.Equal(t, []artifacts.Move{{Alias: "live", From: 5, To: 3}}, r.Moved)
		_, err = x.store.Apply(t.Context(), ranker, artifacts.Rollback{Alias: "live", Reason: "worse still"})
		require.ErrorIs(t, err, artifacts.ErrConflict, "version 2 is archived")

		time.Sleep(aDay)
		change := artifacts.Rollback{Alias: "live", Reason: "worse still"}
		_, w, err := x.store.Rollback(t.Context(), ranker, change, &s3artifacts.WarmOptions{DryRun: true})
		require.NoError(t, err)
		require.Equal(t, 1, w.Cold)
		_, w, err = x.store.Rollback(t.Context(), ranker, change, nil)
		require.ErrorIs(t, err, artifacts.ErrArchived)
		require.Equal(t, 1, w.Restored)
		_, w, err = x.store.Rollback(t.Context(), ranker, change, nil)
		require.ErrorIs(t, err, artifacts.ErrArchived)
		require.Equal(t, []int{0, 1}, []int{w.Restored, w.Warming}, "what is being restored is not restored again")
		require.NotContains(t, x.ready(), "2")
		time.Sleep(time.Until(w.Ready))
		r, w, err = x.store.Rollback(t.Context(), ranker, change, &s3artifacts.WarmOptions{Keep: true})
		require.NoError(t, err)
		require.Equal(t, []artifacts.Move{{Alias: "live", From: 3, To: 2}}, r.Moved)
		require.True(t, w.Until.IsZero() && w.Warm())
		time.Sleep(30 * aDay)
		x.tier(old)
		time.Sleep(aDay)
		require.NoError(t, x.read(2), "the copy stays")
		require.Contains(t, x.ready(), "2")
		_, _, err = x.store.Rollback(t.Context(), ranker, change, nil)
		require.ErrorIs(t, err, artifacts.ErrConflict, "there is nothing before it")
		_, _, err = x.store.Rollback(t.Context(), ranker, artifacts.Rollback{Alias: "absent", Reason: "r"}, nil)
		require.ErrorIs(t, err, artifacts.ErrNotFound)

		// What was archived is needed by nobody now.
		_, err = x.store.Collect(t.Context(), ranker, atOnce)
		require.NoError(t, err)
		require.NoError(t, x.read(2))
		require.NoError(t, x.read(5))
	})
}

func TestEnsureWarmSaysWhatItCosts(t *testing.T) {
	inVault(t, func(x *vault) {
		t := x.T
		x.history()
		require.Equal(t, s3artifacts.Warmth{Objects: 3}, x.warm(nil), "it is warm")
		time.Sleep(20 * aDay)
		x.tier(old)
		time.Sleep(aDay)
		w := x.warm(&s3artifacts.WarmOptions{DryRun: true})
		require.Equal(t, 1, w.Cold)
		require.Equal(t, int64(len(large("one"))), w.Bytes)
		require.InDelta(t, 5*time.Hour, time.Until(w.Ready), float64(time.Second))
		require.InDelta(t, 0.00005+float64(w.Bytes)/(1<<30)*(0.01+7*0.023/30), w.Dollars, 1e-9)
		fast := x.warm(&s3artifacts.WarmOptions{DryRun: true, Speed: s3artifacts.Expedited})
		require.Greater(t, fast.Dollars, 0.01)
		require.InDelta(t, 5*time.Minute, time.Until(fast.Ready), float64(time.Second))
		require.ErrorIs(t, x.read(1), artifacts.ErrArchived, "a dry run restores nothing")

		began := time.Now()
		var asked atomic.Int64
		x.fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if r.URL.Query().Has("restore") {
				asked.Add(1)
			}
			return false
		})
		w = x.warm(&s3artifacts.WarmOptions{Wait: true, Days: 2})
		require.True(t, w.Warm())
		require.Equal(t, 1, w.Restored)
		require.Equal(t, int64(1), asked.Load(), "it was asked for once, and waited for")
		x.fake.Intercept(nil)
		require.Greater(t, time.Since(began), 5*time.Hour)
		require.Less(t, time.Since(began), 5*time.Hour+11*time.Minute)
		require.NoError(t, x.read(1))
		require.Contains(t, x.ready(), "1")
		w = x.warm(&s3artifacts.WarmOptions{Days: 5})
		require.Equal(t, []int{1, 0}, []int{w.Restored, w.Lukewarm}, "it ended too soon, and is kept for longer")
		require.GreaterOrEqual(t, time.Until(w.Until), 5*aDay)
		time.Sleep(4 * aDay)
		require.NoError(t, x.read(1))
		require.Contains(t, x.ready(), "1")
		time.Sleep(4 * aDay)
		require.NotContains(t, x.ready(), "1", "the copy has ended")
		require.ErrorIs(t, x.read(1), artifacts.ErrArchived)
	})
}

func TestEnsureWarmTakesBackATagThatHasMovedNothing(t *testing.T) {
	inVault(t, func(x *vault) {
		t := x.T
		x.history()
		time.Sleep(20 * aDay)
		x.tier(old)
		require.NotContains(t, x.ready(), "1")
		require.True(t, x.warm(nil).Warm())
		require.Contains(t, x.ready(), "1")
		time.Sleep(3 * aDay)
		require.NoError(t, x.read(1))
		x.tier(old)
		require.NotContains(t, x.ready(), "1", "nobody needs it, after all")
	})
}

// A publication chose an object of an old version just before the version was given
// to the archive.
func TestAPublicationDoesNotUseWhatIsArchivedMeanwhile(t *testing.T) {
	inVault(t, func(x *vault) {
		t := x.T
		x.history()
		time.Sleep(20 * aDay)
		var once atomic.Bool
		x.fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if records(r) && once.CompareAndSwap(false, true) {
				x.fake.Intercept(nil)
				_, err := open(t, x.client, nil).Tier(t.Context(), ranker, old)
				require.NoError(t, err)
			}
			return false
		})
		p := publish(t, x.store, artifacts.Files(map[string][]byte{"own": large("one"), "shared": large("all")}), nil)
		require.True(t, once.Load())
		time.Sleep(2 * aDay)
		require.Equal(t, "[GLACIER:3 GLACIER_IR:1 STANDARD:3]", x.classes())
		require.NoError(t, x.read(p.Version.ID.Number))
	})
}

// A version that needs an object becomes visible while it is decided what to archive.
func TestTierDecidesOnTheLogThatItCommitsTo(t *testing.T) {
	inVault(t, func(x *vault) {
		t := x.T
		x.history()
		time.Sleep(20 * aDay)
		var once atomic.Bool
		x.fake.Intercept(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if records(r) && once.CompareAndSwap(false, true) {
				x.fake.Intercept(nil)
				_, err := open(t, x.client, nil).Publish(t.Context(), ranker, artifacts.Files(map[string][]byte{"own": large("one")}), nil)
				require.NoError(t, err)
			}
			return false
		})
		done := x.tier(old)
		require.True(t, once.Load())
		require.Equal(t, 2, done.Archived, "not version 1, whose file version 6 has")
		time.Sleep(2 * aDay)
		require.NoError(t, x.read(1))
		require.NoError(t, x.read(6))
	})
}

func TestCrashWhileTiering(t *testing.T) {
	points := everyCrash(t, func(t *testing.T, store *s3artifacts.Store) {
		for _, own := range []string{"one", "two", "three"} {
			publish(t, store, artifacts.Files(map[string][]byte{"own": large(own), "shared": large("all")}), nil)
		}
		time.Sleep(20 * aDay)
	}, func(ctx context.Context, store *s3artifacts.Store) error {
		_, err := store.Tier(ctx, ranker, old)
		return err
	}, func(t *testing.T, store *s3artifacts.Store) {
		_, err := store.Tier(t.Context(), ranker, old)
		require.NoError(t, err)
		done, err := store.Tier(t.Context(), ranker, old)
		require.NoError(t, err)
		require.Equal(t, []int{1, 2, 0}, []int{done.Hot, done.Archived, done.Tagged}, "nothing is left to do")
		v, err := store.Resolve(t.Context(), artifacts.Ref{Name: ranker, Number: 1})
		require.NoError(t, err)
		require.False(t, v.Ready)
		require.Len(t, content(t, store), 6)
	})
	require.Greater(t, points, 8)
	t.Logf("%d points", points)
}

func TestTiersThatNobodyCanHave(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	store := open(t, fake.Client(), nil)
	for _, bad := range []*s3artifacts.Tiering{{Last: -1}, {Back: -1}, {Archive: -aDay}, {Archive: aDay}, {Cold: -2}} {
		_, err := store.Tier(t.Context(), ranker, bad)
		require.ErrorIs(t, err, artifacts.ErrInvalid, "%+v", bad)
	}
	id := artifacts.ID{Name: ranker, Number: 1}
	for _, bad := range []*s3artifacts.WarmOptions{{Speed: "Fast"}, {Days: -1}, {Days: 4000}} {
		_, err := store.EnsureWarm(t.Context(), id, bad)
		require.ErrorIs(t, err, artifacts.ErrInvalid)
	}
	_, err := store.EnsureWarm(t.Context(), id, nil)
	require.ErrorIs(t, err, artifacts.ErrNotFound)
	for _, bad := range []*s3artifacts.Options{{Class: "GLACIER"}, {Class: "x"}, {Hot: "a/b"}} {
		_, err := s3artifacts.New(fake.Client(), "bucket", bad)
		require.ErrorIs(t, err, artifacts.ErrInvalid)
	}
	for _, bad := range []*s3artifacts.BucketOptions{{Cold: "GLACIER"}, {Archive: "GLACIER_IR"}} {
		_, err := s3artifacts.EnsureBucket(t.Context(), fake.Client(), "bucket", bad)
		require.ErrorIs(t, err, artifacts.ErrInvalid)
	}

	// A directory bucket has no tags.
	publish(t, store, artifacts.Files(map[string][]byte{"w": large("1")}), nil)
	publish(t, store, files("w", "2"), nil)
	fake.Behave(awsfake.S3Mode{Directory: true})
	_, err = store.Tier(t.Context(), ranker, &s3artifacts.Tiering{Cold: s3artifacts.Never})
	require.ErrorIs(t, err, artifacts.ErrInvalid)
	require.ErrorContains(t, err, "no tags")
}

func TestFilesAreInTheClassThatIsAskedFor(t *testing.T) {
	fake := awsfake.NewS3("bucket")
	client := fake.Client()
	store := open(t, client, &s3artifacts.Options{Class: "INTELLIGENT_TIERING", PartSize: 5 << 20})
	publish(t, store, artifacts.Files(map[string][]byte{"small": []byte("x"), "large": make([]byte, 6<<20)}), nil)
	out, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: new("bucket")})
	require.NoError(t, err)
	for _, o := range out.Contents {
		want := types.ObjectStorageClassStandard
		if strings.Contains(*o.Key, "/b/") {
			want = types.ObjectStorageClassIntelligentTiering
		}
		require.Equal(t, want, o.StorageClass, *o.Key)
	}
	// It archives what nobody reads, which nobody but S3 knows.
	_, err = client.PutBucketIntelligentTieringConfiguration(t.Context(), &s3.PutBucketIntelligentTieringConfigurationInput{
		Bucket: new("bucket"), Id: new("all"), IntelligentTieringConfiguration: &types.IntelligentTieringConfiguration{
			Id: new("all"), Status: types.IntelligentTieringStatusEnabled,
			Tierings: []types.Tiering{{Days: new(int32(90)), AccessTier: types.IntelligentTieringAccessTierArchiveAccess}},
		},
	})
	require.NoError(t, err)
	fake.Jump(91 * aDay)
	id := artifacts.ID{Name: ranker, Number: 1}
	_, err = fs.ReadFile(artifacts.FS(t.Context(), store, id), "large")
	require.ErrorIs(t, err, artifacts.ErrArchived)
	w, err := store.EnsureWarm(t.Context(), id, nil)
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{w.Cold, w.Restored})
	require.Zero(t, w.Dollars)
	fake.Jump(5 * time.Hour)
	w, err = store.EnsureWarm(t.Context(), id, nil)
	require.NoError(t, err)
	require.Equal(t, s3artifacts.Warmth{Objects: 2}, w)
	_, err = fs.ReadFile(artifacts.FS(t.Context(), store, id), "large")
	require.NoError(t, err)
}
