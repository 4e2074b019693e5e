// Package trpc keeps the artifacts of agents built with tRPC-Agent-Go
// (trpc.group/trpc-go/trpc-agent-go) in an artifacts.Store.
package trpc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"trpc.group/trpc-go/trpc-agent-go/artifact"

	"github.com/genaistore/genaistore/artifacts"
)

// DefaultPrefix is what the paths of artifacts begin with, see [ArtifactOptions].
const DefaultPrefix = "trpc"

// ArtifactKind is the kind of the versions that [Artifacts] publishes.
const ArtifactKind artifacts.Kind = "trpc"

// ArtifactOptions adjusts [Artifacts]. A nil *ArtifactOptions means the zero value.
type ArtifactOptions struct {
	// Tenant is the tenant of all names. Empty means the default tenant.
	Tenant string
	// Prefix is what every path begins with, so that the store may hold other things
	// too: segments as in an artifacts.Name. Empty means [DefaultPrefix].
	Prefix string
}

// WithDefaults returns what Artifacts acts on. It accepts a nil receiver.
func (o *ArtifactOptions) WithDefaults() ArtifactOptions {
	opts := ArtifactOptions{Prefix: DefaultPrefix}
	if o != nil {
		opts.Tenant, opts.Prefix = o.Tenant, cmp.Or(o.Prefix, DefaultPrefix)
	}
	return opts
}

// Artifacts is an artifact.Service on an artifacts.Store. An artifact is a name in the
// store, prefix/app/user/s/session/file, or prefix/app/user/u/file if the name of the
// file begins with "user:"; each Save is a version with one file, owned by the user,
// which artifacts.Forget erases.
//
// Versions count from 0, one less than in the store. Of many that save at the same time
// each gets a number of its own, on any machine; numbers of what was deleted are not
// used again, so that the first version after a DeleteArtifact is not 0.
//
// Errors match those of package artifacts. What is not there is no error, as the
// framework wants it: a nil artifact, or no versions; a version that is not there is
// artifacts.ErrNotFound.
type Artifacts struct {
	store artifacts.Store
	opts  ArtifactOptions
}

var _ artifact.Service = (*Artifacts)(nil)

// NewArtifacts returns a service on store.
func NewArtifacts(store artifacts.Store, opts *ArtifactOptions) *Artifacts {
	return &Artifacts{store, opts.WithDefaults()}
}

// The files of a version. The second is there where an artifact is more than bytes with
// a media type.
const (
	contentFile = "content"
	restFile    = "artifact.json"
	schema      = 1
)

// userScope is what names of files of a user begin with, whatever the session.
const userScope = "user:"

// A rest is an artifact without its bytes and its media type.
type rest struct {
	TRPC int    `json:"trpc"`
	URL  string `json:"url,omitempty"`
	Name string `json:"name,omitempty"`
	Bare bool   `json:"bare,omitempty"` // it has no media type
}

func (a *Artifacts) ofSession(s artifact.SessionInfo) string {
	return path.Join(a.opts.Prefix, artifacts.EscapeSegment(s.AppName), artifacts.EscapeSegment(s.UserID), "s", artifacts.EscapeSegment(s.SessionID))
}

func (a *Artifacts) ofUser(s artifact.SessionInfo) string {
	return path.Join(a.opts.Prefix, artifacts.EscapeSegment(s.AppName), artifacts.EscapeSegment(s.UserID), "u")
}

// name returns the name of a file. One without its app, user or session would be that
// of another.
func (a *Artifacts) name(s artifact.SessionInfo, file string) (artifacts.Name, error) {
	below := a.ofSession(s)
	ofUser := strings.HasPrefix(file, userScope)
	if ofUser {
		below = a.ofUser(s)
	}
	if s.AppName == "" || s.UserID == "" || file == "" || s.SessionID == "" && !ofUser {
		return artifacts.Name{}, fmt.Errorf("%w: an artifact has an app, a user, a session and a file name, got %+v, %q", artifacts.ErrInvalid, s, file)
	}
	return artifacts.Name{Tenant: a.opts.Tenant, Path: below + "/" + artifacts.EscapeSegment(file)}, nil
}

// SaveArtifact implements artifact.Service.
func (a *Artifacts) SaveArtifact(ctx context.Context, session artifact.SessionInfo, file string, art *artifact.Artifact) (int, error) {
	name, err := a.name(session, file)
	if err != nil {
		return 0, err
	}
	if art == nil {
		return 0, fmt.Errorf("save %s: %w: the artifact is nil", name, artifacts.ErrInvalid)
	}
	files := map[string][]byte{contentFile: art.Data}
	more := rest{schema, art.URL, art.Name, art.MimeType == ""}
	if more != (rest{TRPC: schema}) {
		if files[restFile], err = json.Marshal(more); err != nil {
			return 0, fmt.Errorf("save %s: %w: %w", name, artifacts.ErrInvalid, err)
		}
	}
	p, err := a.store.Publish(ctx, name, artifacts.Files(files), &artifacts.PublishOptions{
		Kind: ArtifactKind, Owner: session.UserID, MediaTypes: map[string]string{contentFile: art.MimeType},
	})
	return int(p.Version.ID.Number) - 1, err
}

// LoadArtifact implements artifact.Service.
func (a *Artifacts) LoadArtifact(ctx context.Context, session artifact.SessionInfo, file string, version *int) (*artifact.Artifact, error) {
	name, err := a.name(session, file)
	if err != nil {
		return nil, err
	}
	ref := artifacts.Ref{Name: name}
	if version != nil {
		if ref.Number = int64(*version) + 1; ref.Number < 1 {
			return nil, fmt.Errorf("load %s: %w: version %d: versions count from 0", name, artifacts.ErrInvalid, *version)
		}
	}
	v, err := a.store.Resolve(ctx, ref)
	if errors.Is(err, artifacts.ErrNotFound) && version == nil {
		return nil, nil //nolint:nilnil // what the framework wants of what is not there
	}
	if err != nil {
		return nil, err
	}
	return a.load(ctx, v.ID)
}

func (a *Artifacts) load(ctx context.Context, id artifacts.ID) (*artifact.Artifact, error) {
	data, info, err := a.read(ctx, id, contentFile)
	if err != nil {
		return nil, err
	}
	art := &artifact.Artifact{Data: data, MimeType: info.MediaType}
	text, _, err := a.read(ctx, id, restFile)
	if errors.Is(err, artifacts.ErrNotFound) {
		return art, nil
	}
	if err != nil {
		return nil, err
	}
	var more rest
	if err := json.Unmarshal(text, &more); err != nil {
		return nil, fmt.Errorf("load %s: %w: %w", id, artifacts.ErrCorrupt, err)
	}
	if more.TRPC > schema {
		return nil, fmt.Errorf("load %s: %w: it has schema %d; this version reads up to %d", id, artifacts.ErrCorrupt, more.TRPC, schema)
	}
	art.URL, art.Name = more.URL, more.Name
	if more.Bare {
		art.MimeType = ""
	}
	return art, nil
}

func (a *Artifacts) read(ctx context.Context, id artifacts.ID, file string) (data []byte, info artifacts.FileInfo, err error) {
	f, err := a.store.Open(ctx, id, file)
	if err != nil {
		return nil, info, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err = io.ReadAll(f)
	return data, f.Info(), err
}

// ListArtifactKeys implements artifact.Service.
func (a *Artifacts) ListArtifactKeys(ctx context.Context, session artifact.SessionInfo) ([]string, error) {
	if _, err := a.name(session, "any"); err != nil {
		return nil, err
	}
	names := []string{}
	for _, prefix := range []string{a.ofSession(session), a.ofUser(session)} {
		for v, err := range a.store.List(ctx, artifacts.Query{Tenant: a.opts.Tenant, Prefix: prefix, Kind: ArtifactKind, Latest: true}) {
			if err != nil {
				return nil, err
			}
			file, err := artifacts.UnescapeSegment(strings.TrimPrefix(v.ID.Name.Path, prefix+"/"))
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", v.ID, err)
			}
			names = append(names, file)
		}
	}
	slices.Sort(names)
	return names, nil
}

// DeleteArtifact implements artifact.Service. What is pinned or aliased in the store
// stays, and is artifacts.ErrConflict.
func (a *Artifacts) DeleteArtifact(ctx context.Context, session artifact.SessionInfo, file string) error {
	name, err := a.name(session, file)
	if err != nil {
		return err
	}
	_, err = a.store.Apply(ctx, name, artifacts.Delete{})
	if errors.Is(err, artifacts.ErrNotFound) {
		return nil
	}
	return err
}

// ListVersions implements artifact.Service.
func (a *Artifacts) ListVersions(ctx context.Context, session artifact.SessionInfo, file string) ([]int, error) {
	name, err := a.name(session, file)
	if err != nil {
		return nil, err
	}
	versions := []int{}
	for v, err := range a.store.List(ctx, artifacts.Query{Tenant: name.Tenant, Path: name.Path}) {
		if err != nil {
			return nil, err
		}
		versions = append(versions, int(v.ID.Number)-1)
	}
	slices.Reverse(versions)
	return versions, nil
}
