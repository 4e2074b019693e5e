package artifacts

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits that every store keeps. They are the library's own: an S3 key holds 1,024
// bytes, a manifest is read as a whole, and a record is one small object.
const (
	MaxSegment  = 128     // bytes in one segment of a name
	MaxName     = 512     // bytes of a name as tenant/path, see [Name]
	MaxFilePath = 1024    // bytes in the path of a file
	MaxFiles    = 100_000 // files in a version
	MaxRanks    = 100_000 // processes that publish one version together
	MaxChanges  = 100     // changes in one record
	MaxTags     = 50      // tags of a version, and metrics
	MaxText     = 1024    // bytes of a reason, an owner, a tag, an id
	MaxURI      = 2048    // bytes of the URI of an [Input]
)

// A Name names an artifact. Path is one or more segments joined by slashes, each
// of 1 to [MaxSegment] bytes of UTF-8 without control characters, not "." or
// "..". Tenant is one such segment without a slash, or empty, which names the
// default tenant. Backends encode what their service cannot hold, so that a byte
// other than letters, digits, ".", "_" and "-" counts three towards [MaxName].
type Name struct{ Tenant, Path string }

// String returns the name in the form tenant/path, for messages.
func (n Name) String() string { return strings.TrimPrefix(n.Tenant+"/"+n.Path, "/") }

// Validate reports an error that matches [ErrInvalid] unless n is well formed.
func (n Name) Validate() error {
	if strings.Contains(n.Tenant, "/") {
		return fmt.Errorf("%w: tenant %.140q has a slash", ErrInvalid, n.Tenant)
	}
	segments := strings.Split(n.Path, "/")
	if n.Tenant != "" {
		segments = append(segments, n.Tenant)
	}
	size := len(segments) - 1 // slashes
	for _, s := range segments {
		if s == "" || s == "." || s == ".." || len(s) > MaxSegment || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
			return fmt.Errorf("%w: artifact name %.600q: segment %.140q: from 1 to %d bytes of UTF-8 without control characters, and not a dot or two", ErrInvalid, n, s, MaxSegment)
		}
		size += encodedSize(s)
	}
	if size > MaxName {
		return fmt.Errorf("%w: artifact name %.600q: %d bytes where other characters than letters, digits, '.', '_' and '-' count three: at most %d", ErrInvalid, n, size, MaxName)
	}
	return nil
}

func encodedSize(s string) (n int) {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
			n++
		default:
			n += 3
		}
	}
	return n
}

// An ID names a version for ever.
type ID struct {
	Name   Name
	Number int64 // from 1
}

// String returns the id in the form path@42, which [ParseRef] reads in its tenant.
func (id ID) String() string { return Ref{Name: id.Name, Number: id.Number}.String() }

// Validate reports an error that matches [ErrInvalid] unless id is well formed.
func (id ID) Validate() error {
	if id.Number < 1 {
		return fmt.Errorf("%w: version %d of %s: versions start at 1", ErrInvalid, id.Number, id.Name)
	}
	return id.Name.Validate()
}

// A Ref asks for a version: by Number, by Alias, by Digest, or, with none of
// them, the latest. More than one set is ErrInvalid. Its text form is that of
// [Ref.String] and [ParseRef].
type Ref struct {
	Name   Name
	Number int64
	Alias  string // see [ValidateAlias]
	Digest string // of a [Version]
}

// String returns path@42, path@production, path@sha256:… or path@latest, without
// the tenant.
func (r Ref) String() string {
	switch {
	case r.Number != 0:
		return fmt.Sprintf("%s@%d", r.Name.Path, r.Number)
	case r.Alias != "":
		return r.Name.Path + "@" + r.Alias
	case r.Digest != "":
		return r.Name.Path + "@" + r.Digest
	}
	return r.Name.Path + "@latest"
}

// Validate reports an error that matches [ErrInvalid] unless r is well formed.
func (r Ref) Validate() error {
	set := 0
	for _, is := range []bool{r.Number != 0, r.Alias != "", r.Digest != ""} {
		if is {
			set++
		}
	}
	if set > 1 || r.Number < 0 {
		return fmt.Errorf("%w: reference %s: one of Number, Alias and Digest, or none for the latest", ErrInvalid, r)
	}
	if r.Alias != "" {
		if err := ValidateAlias(r.Alias); err != nil {
			return err
		}
	}
	if r.Digest != "" {
		if err := validateDigest(r.Digest, digestPrefix); err != nil {
			return err
		}
	}
	return r.Name.Validate()
}

// ParseRef reads the text form of a [Ref] in a tenant: path@42, path@alias,
// path@sha256:…, path@latest, or path alone for the latest. The last @ counts. An
// error matches [ErrInvalid].
func ParseRef(tenant, text string) (Ref, error) {
	r := Ref{Name: Name{Tenant: tenant, Path: text}}
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		r.Name.Path = text[:i]
		switch version := text[i+1:]; {
		case version == "latest":
		case strings.HasPrefix(version, digestPrefix):
			r.Digest = version
		case version != "" && strings.Trim(version, "0123456789") == "":
			number, err := strconv.ParseInt(version, 10, 64)
			if err != nil || number < 1 {
				return Ref{}, fmt.Errorf("%w: reference %.600q: versions start at 1", ErrInvalid, text)
			}
			r.Number = number
		case version == "":
			return Ref{}, fmt.Errorf("%w: reference %.600q: nothing after the @", ErrInvalid, text)
		default:
			r.Alias = version
		}
	}
	if err := r.Validate(); err != nil {
		return Ref{}, err
	}
	return r, nil
}

// ValidateAlias reports an error that matches [ErrInvalid] unless alias may be
// one: a segment as in a [Name] without "/", "@" and ":", not "latest", and not
// a number.
func ValidateAlias(alias string) error {
	switch {
	case alias == "", len(alias) > MaxSegment, alias == ".", alias == "..", !utf8.ValidString(alias),
		strings.ContainsFunc(alias, unicode.IsControl), strings.ContainsAny(alias, "/@:"):
		return fmt.Errorf("%w: alias %.140q: from 1 to %d bytes of UTF-8 without control characters, '/', '@' and ':'", ErrInvalid, alias, MaxSegment)
	case alias == "latest" || strings.Trim(alias, "0123456789") == "":
		return fmt.Errorf("%w: alias %q: not a number, and latest is what it means already", ErrInvalid, alias)
	}
	return nil
}

// A Version is one published version, without its files: [Manifest] lists those.
// It is immutable but for Metrics, Tags, Aliases, Pins, Quarantined, Durable and
// Ready.
type Version struct {
	ID      ID
	Digest  string    // of the content, see [ContentDigest]
	Created time.Time // of its record
	By      string    // who published it: a role or a job, from the store's configuration
	Owner   string    // whose it is, see [PublishOptions.Owner]
	Kind    Kind
	Files   int
	Bytes   int64
	Lineage Lineage
	Tags    map[string]string

	Metrics     map[string]Metric
	Aliases     []string // that point at it now, sorted
	Pins        []string // who keeps it, sorted
	Quarantined string   // the reason, or empty
	Durable     bool     // settled in the home bucket, not in a hot tier alone
	Ready       bool     // readable at once: nothing in an archive class
}

// A Kind is what an artifact is for. Others than these are allowed: a segment as
// in a [Name].
type Kind string

func (k Kind) validate() error {
	if strings.Contains(string(k), "/") {
		return fmt.Errorf("%w: kind %.140q has a slash", ErrInvalid, k)
	}
	if err := (Name{Path: string(k)}).Validate(); err != nil {
		return fmt.Errorf("kind: %w", err)
	}
	return nil
}

// The kinds that this library knows.
const (
	Checkpoint Kind = "checkpoint"
	Model      Kind = "model"
	Dataset    Kind = "dataset"
	Documents  Kind = "documents"
)

// Lineage says where a version came from. Nothing checks that it exists. Parents
// and Inputs are at most [MaxFiles] together, texts at most [MaxText] bytes.
type Lineage struct {
	Parents []ID
	Inputs  []Input
	Commit  string // of the code
	Dirty   bool   // the code had changes that no commit holds
	Run     string
	Step    int64
}

// Validate reports an error that matches [ErrInvalid] unless l is well formed.
func (l Lineage) Validate() error {
	if len(l.Parents)+len(l.Inputs) > MaxFiles {
		return fmt.Errorf("%w: a lineage of more than %d", ErrInvalid, MaxFiles)
	}
	for _, id := range l.Parents {
		if err := id.Validate(); err != nil {
			return fmt.Errorf("lineage: %w", err)
		}
	}
	for _, in := range l.Inputs {
		if in.URI == "" || len(in.URI) > MaxURI || !utf8.ValidString(in.URI) {
			return fmt.Errorf("%w: input %.80q: a URI of at most %d bytes of UTF-8", ErrInvalid, in.URI, MaxURI)
		}
		if err := cmp.Or(validateText("version of an input", in.VersionID), validateText("digest of an input", in.Digest)); err != nil {
			return err
		}
	}
	return cmp.Or(validateText("commit", l.Commit), validateText("run", l.Run))
}

func (l Lineage) clone() Lineage {
	l.Parents, l.Inputs = slices.Clone(l.Parents), slices.Clone(l.Inputs)
	return l
}

// An Input is data from elsewhere. URI is needed; Digest is in its owner's own form.
type Input struct{ URI, VersionID, Digest string }

// A Metric is a measured value of a version. Value is finite.
type Metric struct {
	Value  float64
	N      int64 // samples behind Value; 0 if unknown
	Better Better
}

// Better says which way a metric improves.
type Better int8

// What Better may be.
const (
	Unknown Better = iota
	Lower
	Higher
)

// A File is an open file or directory of a version. Its methods do what those of
// an *os.File opened for reading do: ReadAt may be called at the same time, Seek on
// a directory only rewinds it, and after Close every method fails with
// fs.ErrClosed. The [fs.FileInfo] of Stat and of directory entries has the time the
// version was created as its ModTime, and a [FileInfo] as its Sys.
type File interface {
	fs.ReadDirFile
	io.ReaderAt
	io.Seeker
	Info() FileInfo
}

// A FileInfo describes a file in a version. Of a directory only Path is set.
type FileInfo struct {
	Path      string
	Size      int64
	Digest    string // see [Digest]
	MediaType string // see [MediaType]
	URI       string // where the bytes lie, for tools that read them without us; may be empty
}

// HistoryOptions selects records. A nil *HistoryOptions means all, oldest first.
type HistoryOptions struct {
	After    int64 // only records with a greater Seq
	Backward bool
}

// A Query selects versions of one tenant.
type Query struct {
	Tenant string
	Prefix string // of the path, whole segments; empty means all
	Path   string // exactly this artifact; not with Prefix
	Kind   Kind
	Owner  string
	Tags   map[string]string // all of them
	// Latest yields only the latest version of each artifact: of those, the ones
	// that the rest of the query selects.
	Latest bool
}

// Validate reports an error that matches [ErrInvalid] unless a Store can answer q.
func (q Query) Validate() error {
	if q.Prefix != "" && q.Path != "" {
		return fmt.Errorf("%w: a query has a Prefix or a Path, not both", ErrInvalid)
	}
	return Name{Tenant: q.Tenant, Path: cmp.Or(q.Prefix, q.Path, "any")}.Validate()
}

// Match reports whether v is one that q selects; Latest is for the store to
// decide.
func (q Query) Match(v Version) bool {
	if !q.covers(v.ID.Name) || q.Kind != "" && v.Kind != q.Kind || q.Owner != "" && v.Owner != q.Owner {
		return false
	}
	for k, want := range q.Tags {
		if got, ok := v.Tags[k]; !ok || got != want {
			return false
		}
	}
	return true
}

// covers reports whether q may select versions of name n.
func (q Query) covers(n Name) bool {
	return n.Tenant == q.Tenant && (q.Path == "" || n.Path == q.Path) &&
		(q.Prefix == "" || n.Path == q.Prefix || strings.HasPrefix(n.Path, q.Prefix+"/"))
}

func validateText(what, s string) error {
	if len(s) > MaxText || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("%w: %s %.80q: at most %d bytes of UTF-8 without control characters", ErrInvalid, what, s, MaxText)
	}
	return nil
}

func validateTags(tags map[string]string) error {
	if len(tags) > MaxTags {
		return fmt.Errorf("%w: %d tags: at most %d", ErrInvalid, len(tags), MaxTags)
	}
	for k, v := range tags {
		if k == "" {
			return fmt.Errorf("%w: a tag without a key", ErrInvalid)
		}
		if err := cmp.Or(validateText("tag", k), validateText("tag "+k, v)); err != nil {
			return err
		}
	}
	return nil
}

func validateMetrics(metrics map[string]Metric) error {
	if len(metrics) > MaxTags {
		return fmt.Errorf("%w: %d metrics: at most %d", ErrInvalid, len(metrics), MaxTags)
	}
	for k, m := range metrics {
		if k == "" || math.IsNaN(m.Value) || math.IsInf(m.Value, 0) || m.N < 0 || m.Better < Unknown || m.Better > Higher {
			return fmt.Errorf("%w: metric %q: a name, a finite value, N of 0 or more", ErrInvalid, k)
		}
		if err := validateText("metric", k); err != nil {
			return err
		}
	}
	return nil
}

func (v Version) clone() Version {
	v.Lineage = v.Lineage.clone()
	v.Tags, v.Metrics = maps.Clone(v.Tags), maps.Clone(v.Metrics)
	v.Aliases, v.Pins = slices.Clone(v.Aliases), slices.Clone(v.Pins)
	return v
}
