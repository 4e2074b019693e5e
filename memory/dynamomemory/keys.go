package dynamomemory

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/genaistore/genaistore/internal/hlc"
	"github.com/genaistore/genaistore/memory"
)

// The sort keys of a session's partition, in their order: one Query backwards from
// the state reads state, head, gist and the newest records.
const (
	skNotes   = "A#" // and the record id
	skChunk   = "C#" // and record id, generation and number
	skRecord  = "E#" // and the record id
	skGist    = "G"
	skHead    = "H"
	skState   = "HS"
	skRequest = "K#" // and the hash of the request id
	skShared  = "STATE"

	lastRecord = "E$" // sorts after every record and before the gist
)

const (
	directoryShards = 16
	intentShards    = 4
	maxPart         = 256
)

// The attributes that are not named by Schema.
const (
	attrSchema    = "v"
	attrBody      = "b"
	attrHow       = "c"  // name of the compressor
	attrSealed    = "x"  // the body is encrypted
	attrChunks    = "ch" // number of chunks that hold the body
	attrChunkOf   = "cg" // generation of these chunks
	attrBlob      = "bl" // name of the blob that holds the body
	attrNonce     = "n"
	attrKind      = "k" // of a tombstone
	attrID        = "i"
	attrVersion   = "ver"
	attrCreated   = "cr"
	attrActive    = "act"
	attrTitle     = "ti"
	attrLabels    = "la"
	attrParent    = "ps"
	attrUpTo      = "pu"
	attrIdle      = "idle"
	attrKeep      = "kp"
	attrKeepTTL   = "kpx"
	attrEpoch     = "ep"
	attrFloor     = "fl"
	attrMoved     = "m" // id of the last change
	attrDeleted   = "del"
	attrFork      = "fk"
	attrJournal   = "jn"
	attrJournalID = "ji"
	attrOrigin    = "fo" // of what a fork copies: the state of its parent
	attrRewound   = "rf" // and up to
	attrUntil     = "rt"
	attrKey       = "wk"
	attrNames     = "kk" // parts of the key, where one is too long for the key
	attrEdited    = "ev"
	attrBeside    = "bx"
	attrIntent    = "in"
	attrLanguage  = "lg"
	attrModel     = "mo"

	statePrefix = "s:" // and a key of a state of a user or an app
)

func ownAttributes() []string {
	return []string{
		attrSchema, attrBody, attrHow, attrSealed, attrChunks, attrChunkOf, attrBlob, attrNonce, attrKind, attrID, attrVersion,
		attrCreated, attrActive, attrTitle, attrLabels, attrParent, attrUpTo, attrIdle, attrKeep, attrKeepTTL, attrEpoch, attrFloor,
		attrMoved, attrDeleted, attrFork, attrOrigin, attrJournal, attrJournalID, attrRewound, attrUntil, attrKey, attrNames, attrEdited, attrBeside, attrIntent, attrLanguage, attrModel,
	}
}

// encodePart makes a part of a key free of separators. One that gets too long is
// replaced by its hash, after a mark that nothing else encodes to.
func encodePart(s string) string {
	if len(s) <= maxPart && !strings.ContainsFunc(s, special) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if special(rune(s[i])) {
			fmt.Fprintf(&b, "%%%02X", s[i])
			continue
		}
		b.WriteByte(s[i])
	}
	if b.Len() <= maxPart {
		return b.String()
	}
	sum := sha256.Sum256([]byte(s))
	return "%~" + hex.EncodeToString(sum[:])
}

func special(r rune) bool { return r == '%' || r == '#' || r < 0x20 || r == 0x7f }

// decodePart is the inverse of encodePart; ok is false for a hash.
func decodePart(s string) (part string, ok bool) {
	if !strings.Contains(s, "%") {
		return s, true
	}
	if strings.HasPrefix(s, "%~") {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if raw, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				b.Write(raw)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), true
}

// A place is where the items of a session are.
type place struct {
	memory.Key
	pk string
}

func at(k memory.Key) place {
	return place{k, "T#" + encodePart(k.Tenant) + "#S#" + encodePart(k.App) + "#" + encodePart(k.User) + "#" + encodePart(k.Session)}
}

func userPK(k memory.Key) string {
	return "T#" + encodePart(k.Tenant) + "#U#" + encodePart(k.App) + "#" + encodePart(k.User)
}

func appPK(k memory.Key) string { return "T#" + encodePart(k.Tenant) + "#A#" + encodePart(k.App) }

func directoryPK(k memory.Key, shard int) string {
	return fmt.Sprintf("T#%s#D#%s#%x", encodePart(k.Tenant), encodePart(k.App), shard)
}

func directorySK(k memory.Key) string { return encodePart(k.User) + "#" + encodePart(k.Session) }

func userShard(user string) int { return int(hashOf(user) % directoryShards) }

func intentPK(k memory.Key, intent string, day time.Time, shard int) string {
	return fmt.Sprintf("T#%s#I#%s#%s#%s#%x", encodePart(k.Tenant), encodePart(k.App), encodePart(intent), day.UTC().Format("20060102"), shard)
}

func intentShard(p place) int { return int(hashOf(p.pk) % intentShards) }

func hashOf(s string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(s))
	return h.Sum32()
}

// long says whether a part of k is only a hash in its keys.
func long(k memory.Key) bool {
	for _, part := range []string{k.Tenant, k.App, k.User, k.Session} {
		if strings.HasPrefix(encodePart(part), "%~") {
			return true
		}
	}
	return false
}

// keyOf reads back the key of a session from the parts of its pk, or from the names
// that the item has.
func keyOf(it item, parts [4]string) (memory.Key, error) {
	var out [4]string
	if names := getStrings(it, attrNames); len(names) == 4 {
		copy(out[:], names)
	} else {
		for i, part := range parts {
			var ok bool
			if out[i], ok = decodePart(part); !ok {
				return memory.Key{}, fmt.Errorf("%w: an item without the names in its key", memory.ErrCorrupt)
			}
		}
	}
	return memory.Key{Tenant: out[0], App: out[1], User: out[2], Session: out[3]}, nil
}

func sessionKey(pk string, it item) (memory.Key, error) {
	p := strings.Split(pk, "#")
	if len(p) != 6 {
		return memory.Key{}, fmt.Errorf("%w: %q is no key of a session", memory.ErrCorrupt, pk)
	}
	return keyOf(it, [4]string{p[1], p[3], p[4], p[5]})
}

func requestSK(requestID string) string {
	sum := sha256.Sum256([]byte(requestID))
	return skRequest + hex.EncodeToString(sum[:16])
}

// A bookmark is the id of the last write that its reader has seen. The prefix keeps
// it apart from a record id. With Options.Replica it ends with a mark of the place that
// the write is in, so that a reader elsewhere knows where to look for it.
const bookmarkPrefix = "at-"

func (s *Store) bookmark(place, id string) memory.Bookmark {
	switch {
	case id == "":
		return ""
	case s.opts.Replica && place != "":
		return memory.Bookmark(bookmarkPrefix + id + "-" + placeMark(place))
	}
	return memory.Bookmark(bookmarkPrefix + id)
}

const markLen = 8

// placeMark tells places apart, and not which one it is.
func placeMark(place string) string { return fmt.Sprintf("%0*x", markLen, hashOf(place)) }

func bookmarkID(b memory.Bookmark) (hlc.ID, error) {
	id, _, err := parseBookmark(b)
	return id, err
}

// parseBookmark returns the id in a bookmark and the mark of its place, if any.
func parseBookmark(b memory.Bookmark) (id hlc.ID, mark string, err error) {
	if b == "" {
		return hlc.ID{}, "", nil
	}
	text, ok := strings.CutPrefix(string(b), bookmarkPrefix)
	if ok && strings.Contains(text, "-") {
		text, mark, _ = strings.Cut(text, "-")
		ok = len(mark) == markLen && wholly(mark, digits+"abcdef")
	}
	if !ok {
		return hlc.ID{}, "", fmt.Errorf("%w: bookmark %.60q: it is none of this store's", memory.ErrInvalid, b)
	}
	if id, err = hlc.Parse(text); err != nil {
		return hlc.ID{}, "", fmt.Errorf("bookmark: %w", err)
	}
	return id, mark, nil
}
