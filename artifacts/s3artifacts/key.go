package s3artifacts

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/genaistore/genaistore/artifacts"
)

// Keys of a name, below {root}/a/{tenant}/{path}/=/ :
//
//	log/{seq}.json             the truth
//	snap/{seq}.json            what the log comes to, every 64 records
//	head.json                  a hint: the same at some record, newer or older
//	m/{digest}.{nonce}         a list of files too long for a record
//	b/{hh}/{digest}.{nonce}    the bytes of a file
//	t/{digest}.{nonce}         digests of its leaves, where there are many
//	c/{digest}.{nonce}         a long list of condemned keys
//	x/{id}/{ranks}-{rank}      the part of one rank
//
// and {root}/n/{tenant}/{path}/=, which says that there is such a name.
// A segment has every byte escaped but letters, digits, ".", "_" and "-": "=" alone
// is none, so that no name can look like a part of another. The default tenant is
// "=" too. Everything is separated by "/", as directory buckets want it.

const marker = "="

func escape(segment string) string {
	var b strings.Builder
	for i := range len(segment) {
		switch c := segment[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

func unescape(segment string) (string, error) {
	var b strings.Builder
	for rest := segment; rest != ""; {
		head, tail, found := strings.Cut(rest, "=")
		b.WriteString(head)
		if !found {
			break
		}
		if len(tail) < 2 {
			return "", fmt.Errorf("%w: key segment %.400q", artifacts.ErrCorrupt, segment)
		}
		c, err := strconv.ParseUint(tail[:2], 16, 8)
		if err != nil {
			return "", fmt.Errorf("%w: key segment %.400q", artifacts.ErrCorrupt, segment)
		}
		b.WriteByte(byte(c))
		rest = tail[2:]
	}
	if escape(b.String()) != segment {
		return "", fmt.Errorf("%w: key segment %.400q", artifacts.ErrCorrupt, segment)
	}
	return b.String(), nil
}

func (s *Store) rooted(parts ...string) string {
	if s.opts.Root != "" {
		parts = append([]string{s.opts.Root}, parts...)
	}
	return strings.Join(parts, "/")
}

func tenantSegment(tenant string) string {
	if tenant == "" {
		return marker
	}
	return escape(tenant)
}

func escapedPath(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segments[i] = escape(segment)
	}
	return strings.Join(segments, "/")
}

// base is what the keys of a name begin with, with the slash.
func (s *Store) base(name artifacts.Name) string {
	return s.rooted("a", tenantSegment(name.Tenant), escapedPath(name.Path), marker) + "/"
}

// markerKey is the key of the object that says that there is a name.
func (s *Store) markerKey(name artifacts.Name) string {
	return s.rooted("n", tenantSegment(name.Tenant), escapedPath(name.Path), marker)
}

// nameOf reads the key of a marker, below the prefix of its tenant.
func nameOf(tenant, key string) (artifacts.Name, error) {
	path, found := strings.CutSuffix(key, "/"+marker)
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		plain, err := unescape(segment)
		if err != nil || !found {
			return artifacts.Name{}, fmt.Errorf("%w: the key of a name: %.400q", artifacts.ErrCorrupt, key)
		}
		segments[i] = plain
	}
	name := artifacts.Name{Tenant: tenant, Path: strings.Join(segments, "/")}
	return name, name.Validate()
}

func logKey(seq int64) string  { return fmt.Sprintf("log/%016d.json", seq) }
func snapKey(seq int64) string { return fmt.Sprintf("snap/%016d.json", seq) }

const headKey = "head.json"

// ranksPrefix is where the parts of a publication are.
func ranksPrefix(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "x/" + hex.EncodeToString(sum[:]) + "/"
}

// fresh returns a key below dir that was never used. The digest in it is for people
// and for tools.
func (s *Store) fresh(dir, digest string) string {
	digest = strings.TrimPrefix(digest[strings.IndexByte(digest, ':')+1:], ":")
	if s.skip.nonce {
		return dir + "/" + digest
	}
	return dir + "/" + digest + "." + strings.ToLower(rand.Text())
}

// blobKey returns the key of the bytes of a file.
func (s *Store) blobKey(digest string) string {
	digits := digest[strings.IndexByte(digest, ':')+1:]
	return s.fresh("b/"+digits[:2], digits)
}
