// Code generated from ../adk/artifacts.go by go test -update; DO NOT EDIT.

package adkv1

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"google.golang.org/adk/artifact"
	"google.golang.org/genai"

	"github.com/genaistore/genaistore/artifacts"
)

// DefaultPrefix is what the paths of artifacts begin with, see [ArtifactOptions].
const DefaultPrefix = "adk"

// ArtifactKind is the kind of the versions that [Artifacts] publishes.
const ArtifactKind artifacts.Kind = "adk"

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

// Artifacts is an artifact.Service on an artifacts.Store. An artifact of the kit is a
// name in the store, prefix/app/user/s/session/file, or prefix/app/user/u/file if the
// name of the file begins with "user:"; a version of it is a version with one file,
// owned by the user, which artifacts.Forget erases.
//
// Versions start at 1 and have no gaps. Of many that save at the same time each gets a
// number of its own, on any machine; the number of a version that was deleted is not
// used again. A Save of a Version makes that one, or is artifacts.ErrConflict where it
// is not the next. The latest version is the highest that was not deleted and is not
// in quarantine.
//
// A part comes back as it was saved, with its text as text. App, user, session and
// file may be any text that is short enough: the name in the store has at most
// artifacts.MaxName bytes, each of them artifacts.MaxSegment.
//
// Its errors match those of package artifacts: artifacts.ErrNotFound, which also
// matches fs.ErrNotExist, for what is not there, artifacts.ErrInvalid for a request
// that no store can hold.
type Artifacts struct {
	store artifacts.Store
	opts  ArtifactOptions
}

var _ artifact.Service = (*Artifacts)(nil)

// NewArtifacts returns a service on store.
func NewArtifacts(store artifacts.Store, opts *ArtifactOptions) *Artifacts {
	return &Artifacts{store, opts.WithDefaults()}
}

// The files of a version. The second is there where a part is more than bytes with a
// media type.
const (
	contentFile = "content"
	partFile    = "part.json"
)

// userScope is what names of files of a user begin with, whatever the session.
const userScope = "user:"

// A saved part is the rest of it, without its bytes.
type savedPart struct {
	ADK  int             `json:"adk"`
	Text bool            `json:"text,omitempty"` // the content is its text, not its inline data
	Bare bool            `json:"bare,omitempty"` // its inline data has no media type
	Part json.RawMessage `json:"part"`
}

// ofSession and ofUser are the paths below which a session, or a user, has artifacts.
func (a *Artifacts) ofSession(app, user, session string) string {
	return path.Join(a.opts.Prefix, artifacts.EscapeSegment(app), artifacts.EscapeSegment(user), "s", artifacts.EscapeSegment(session))
}

func (a *Artifacts) ofUser(app, user string) string {
	return path.Join(a.opts.Prefix, artifacts.EscapeSegment(app), artifacts.EscapeSegment(user), "u")
}

func (a *Artifacts) name(app, user, session, file string) artifacts.Name {
	below := a.ofSession(app, user, session)
	if strings.HasPrefix(file, userScope) {
		below = a.ofUser(app, user)
	}
	return artifacts.Name{Tenant: a.opts.Tenant, Path: below + "/" + artifacts.EscapeSegment(file)}
}

// reject makes the kit's complaint about a request an error of ours. Its text is that
// of the kit's own services, because programs look for it, and so do tests of the kit.
func reject(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("request validation failed: %w: %w", err, artifacts.ErrInvalid)
}

// missing says of what is not there what the kit's own services say.
func missing(err error) error {
	if errors.Is(err, artifacts.ErrNotFound) {
		return fmt.Errorf("artifact not found: %w: %w", fs.ErrNotExist, err)
	}
	return err
}

// Save implements artifact.Service.
func (a *Artifacts) Save(ctx context.Context, req *artifact.SaveRequest) (*artifact.SaveResponse, error) {
	if err := reject(req.Validate()); err != nil {
		return nil, err
	}
	files, media, err := encodeArtifact(*req.Part)
	if err != nil {
		return nil, err
	}
	p, err := a.store.Publish(ctx, a.name(req.AppName, req.UserID, req.SessionID, req.FileName), artifacts.Files(files), &artifacts.PublishOptions{
		Kind: ArtifactKind, Owner: req.UserID, IfNext: req.Version, MediaTypes: map[string]string{contentFile: media},
	})
	if err != nil {
		return nil, err
	}
	return &artifact.SaveResponse{Version: p.Version.ID.Number}, nil
}

// encodeArtifact returns the files of a part, and the media type of its content.
func encodeArtifact(rest genai.Part) (files map[string][]byte, media string, err error) {
	saved := savedPart{ADK: schema, Text: rest.InlineData == nil}
	data := []byte(rest.Text)
	if saved.Text {
		rest.Text, media = "", "text/plain"
	} else {
		inline := *rest.InlineData
		data, media = inline.Data, inline.MIMEType
		inline.Data, inline.MIMEType = nil, ""
		rest.InlineData, saved.Bare = nonZero(inline), media == ""
	}
	files = map[string][]byte{contentFile: data}
	if !saved.Text && !saved.Bare && nonZero(rest) == nil {
		return files, media, nil
	}
	if saved.Part, err = json.Marshal(&rest); err == nil {
		files[partFile], err = json.Marshal(saved)
	}
	if err != nil {
		return nil, "", fmt.Errorf("%w: the part has no JSON form: %w", artifacts.ErrInvalid, err)
	}
	return files, media, nil
}

// Load implements artifact.Service.
func (a *Artifacts) Load(ctx context.Context, req *artifact.LoadRequest) (*artifact.LoadResponse, error) {
	if err := reject(req.Validate()); err != nil {
		return nil, err
	}
	v, err := a.store.Resolve(ctx, artifacts.Ref{Name: a.name(req.AppName, req.UserID, req.SessionID, req.FileName), Number: req.Version})
	if err != nil {
		return nil, missing(err)
	}
	part, err := a.decodeArtifact(ctx, v.ID)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", v.ID, err)
	}
	return &artifact.LoadResponse{Part: part}, nil
}

func (a *Artifacts) decodeArtifact(ctx context.Context, id artifacts.ID) (*genai.Part, error) {
	data, info, err := a.read(ctx, id, contentFile)
	if err != nil {
		return nil, err
	}
	text, _, err := a.read(ctx, id, partFile)
	if errors.Is(err, artifacts.ErrNotFound) {
		return genai.NewPartFromBytes(data, info.MediaType), nil
	}
	if err != nil {
		return nil, err
	}
	var saved savedPart
	if err := json.Unmarshal(text, &saved); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", artifacts.ErrCorrupt, partFile, err)
	}
	if saved.ADK > schema {
		return nil, fmt.Errorf("%w: the part has schema %d; this version reads up to %d", artifacts.ErrCorrupt, saved.ADK, schema)
	}
	var part genai.Part
	if err := json.Unmarshal(saved.Part, &part); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", artifacts.ErrCorrupt, partFile, err)
	}
	if saved.Text {
		part.Text = string(data)
		return &part, nil
	}
	part.InlineData = cmp.Or(part.InlineData, new(genai.Blob))
	part.InlineData.Data = data
	if !saved.Bare {
		part.InlineData.MIMEType = info.MediaType
	}
	return &part, nil
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

// Delete implements artifact.Service. What is pinned or aliased in the store stays,
// and is artifacts.ErrConflict.
func (a *Artifacts) Delete(ctx context.Context, req *artifact.DeleteRequest) error {
	if err := reject(req.Validate()); err != nil {
		return err
	}
	_, err := a.store.Apply(ctx, a.name(req.AppName, req.UserID, req.SessionID, req.FileName), artifacts.Delete{Version: req.Version})
	if errors.Is(err, artifacts.ErrNotFound) {
		return nil
	}
	return err
}

// List implements artifact.Service.
func (a *Artifacts) List(ctx context.Context, req *artifact.ListRequest) (*artifact.ListResponse, error) {
	if err := reject(req.Validate()); err != nil {
		return nil, err
	}
	names := []string{}
	for _, prefix := range []string{a.ofSession(req.AppName, req.UserID, req.SessionID), a.ofUser(req.AppName, req.UserID)} {
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
	return &artifact.ListResponse{FileNames: names}, nil
}

// Versions implements artifact.Service. The newest is first.
func (a *Artifacts) Versions(ctx context.Context, req *artifact.VersionsRequest) (*artifact.VersionsResponse, error) {
	if err := reject(req.Validate()); err != nil {
		return nil, err
	}
	name := a.name(req.AppName, req.UserID, req.SessionID, req.FileName)
	var versions []int64
	for v, err := range a.store.List(ctx, artifacts.Query{Tenant: name.Tenant, Path: name.Path}) {
		if err != nil {
			return nil, err
		}
		versions = append(versions, v.ID.Number)
	}
	if len(versions) == 0 {
		return nil, missing(fmt.Errorf("versions of %s: %w", name, artifacts.ErrNotFound))
	}
	return &artifact.VersionsResponse{Versions: versions}, nil
}

// GetArtifactVersion implements artifact.Service. The metadata are the tags of the
// version in the store.
func (a *Artifacts) GetArtifactVersion(ctx context.Context, req *artifact.GetArtifactVersionRequest) (_ *artifact.GetArtifactVersionResponse, err error) {
	if err := reject(req.Validate()); err != nil {
		return nil, err
	}
	v, err := a.store.Resolve(ctx, artifacts.Ref{Name: a.name(req.AppName, req.UserID, req.SessionID, req.FileName), Number: req.Version})
	if err != nil {
		return nil, missing(err)
	}
	f, err := a.store.Open(ctx, v.ID, contentFile)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	meta := map[string]any{}
	for key, value := range v.Tags {
		meta[key] = value
	}
	return &artifact.GetArtifactVersionResponse{ArtifactVersion: &artifact.ArtifactVersion{
		Version: v.ID.Number, CanonicalURI: f.Info().URI, CustomMetadata: meta, CreateTime: float64(v.Created.Unix()), MimeType: f.Info().MediaType,
	}}, nil
}
