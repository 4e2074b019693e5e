package dynamomemory

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/genaistore/genaistore/memory"
)

const (
	compressFrom = 256       // bytes; smaller bodies do not get smaller
	largest      = 350 << 10 // bytes of a body in one item, which holds 400 KB with its keys
	chunkSize    = 350 << 10
	mostRaw      = 64 << 20 // what a stored body may decompress to
)

// sealed is a body as it is stored: attributes for its item, and what must be
// stored before it.
type sealed struct {
	attrs  item
	chunks []item
	blob   string
	data   []byte // of the blob
}

// seal compresses and encrypts raw. The associated data is the item's place, so that
// a body that somebody moves does not open.
func (s *Store) seal(raw, key []byte, pk, sk string) (data []byte, attrs item, err error) {
	attrs = item{}
	data = raw
	if len(raw) >= compressFrom {
		small, err := s.opts.Compressor.Compress(nil, raw)
		if err != nil {
			return nil, nil, err
		}
		if len(small) < len(raw)-8 {
			data, attrs[attrHow] = small, str(s.opts.Compressor.Name())
		}
	}
	if key != nil {
		if data, err = encrypt(data, key, s.table+"\x00"+pk+"\x00"+sk); err != nil {
			return nil, nil, err
		}
		attrs[attrSealed] = num(1)
	}
	return data, attrs, nil
}

// sealBody is seal for the body of a record, which may be larger than an item.
func (s *Store) sealBody(p place, id string, b body, key []byte, most int) (sealed, error) {
	var e encoder
	e.body(b)
	data, attrs, err := s.seal(e, key, p.pk, skRecord+id)
	if err != nil {
		return sealed{}, err
	}
	out := sealed{attrs: attrs}
	if len(data) <= most {
		attrs[attrBody] = bin(data)
		return out, nil
	}
	sum := sha256.Sum256(data)
	if s.opts.Blobs != nil {
		session := sha256.Sum256([]byte(p.pk))
		out.blob = TenantBlobs(p.Tenant) + "/" + hex.EncodeToString(session[:16]) + "/" + id + "/" + hex.EncodeToString(sum[:])
		out.data, attrs[attrBlob] = data, str(out.blob)
		return out, nil
	}
	// The generation is the content's, so that a repeated write meets itself and a
	// changed body does not overwrite what readers of the old one need.
	generation := hex.EncodeToString(sum[:8])
	for n := 0; len(data) > 0; n++ {
		size := min(chunkSize, len(data))
		it := s.key(p.pk, fmt.Sprintf("%s%s#%s#%03d", skChunk, id, generation, n))
		it[attrSchema], it[attrBody], it[attrID] = num(schemaVersion), bin(data[:size]), str(id)
		out.chunks, data = append(out.chunks, it), data[size:]
	}
	attrs[attrChunks], attrs[attrChunkOf] = num(int64(len(out.chunks))), str(generation)
	return out, nil
}

// TenantBlobs is the first segment of the names of all blobs of a tenant in a
// [BlobStore], the whole of it up to the first slash: what a policy for one tenant,
// such as that of package s3blobs, is limited to.
func TenantBlobs(tenant string) string { return "t-" + url.PathEscape(encodePart(tenant)) }

// storeParts stores what a record refers to. A crash afterwards leaves garbage with an
// expiry, never a record that lacks a part.
func (s *Store) storeParts(ctx context.Context, b sealed, expires int64) error {
	if b.blob != "" {
		return s.opts.Blobs.Put(ctx, b.blob, b.data)
	}
	for _, chunk := range b.chunks {
		if expires > 0 {
			chunk[s.names.TTL] = num(expires)
		}
		if err := s.put(ctx, chunk, nil); err != nil {
			return err
		}
	}
	return nil
}

// unseal is the inverse of seal.
func (s *Store) unseal(it item, data, key []byte, pk, sk string) ([]byte, error) {
	if _, ok := it[attrSealed]; ok {
		if key == nil {
			return nil, fmt.Errorf("%w: a body is encrypted and this store has no Cipher", memory.ErrInvalid)
		}
		var err error
		if data, err = decrypt(data, key, s.table+"\x00"+pk+"\x00"+sk); err != nil {
			return nil, err
		}
	} else if key != nil {
		return nil, fmt.Errorf("%w: a body is not encrypted, and this store has a Cipher", memory.ErrCorrupt)
	}
	switch how := getString(it, attrHow); how {
	case "":
		return data, nil
	case s.opts.Compressor.Name():
		return s.opts.Compressor.Decompress(nil, data, mostRaw)
	case deflateName:
		return newDeflate().Decompress(nil, data, mostRaw)
	default:
		return nil, fmt.Errorf("%w: a body is compressed with %q, and this store's Compressor is %q", memory.ErrInvalid, how, s.opts.Compressor.Name())
	}
}

// openBody reads the body of a record's item.
func (s *Store) openBody(ctx context.Context, pk string, it item, key []byte) (body, error) {
	sk := s.skOf(it)
	data := getBytes(it, attrBody)
	if blob := getString(it, attrBlob); blob != "" {
		if s.opts.Blobs == nil {
			return body{}, fmt.Errorf("%w: the body of a record is in a blob store, and this store has none", memory.ErrInvalid)
		}
		var err error
		if data, err = s.opts.Blobs.Get(ctx, blob); err != nil {
			return body{}, err
		}
	}
	if n := getInt(it, attrChunks); n > 0 {
		prefix := skChunk + sk[len(skRecord):] + "#" + getString(it, attrChunkOf) + "#"
		chunks, err := s.all(ctx, scan{pk: pk, prefix: prefix})
		if err != nil {
			return body{}, err
		}
		if int64(len(chunks)) != n {
			return body{}, fmt.Errorf("%w: a record has %d chunks of %d", memory.ErrCorrupt, len(chunks), n)
		}
		data = nil
		for _, c := range chunks {
			data = append(data, getBytes(c, attrBody)...)
		}
	}
	raw, err := s.unseal(it, data, key, pk, sk)
	if err != nil {
		return body{}, err
	}
	return decodeBody(raw)
}

// dropParts removes what a record referred to.
func (s *Store) dropParts(ctx context.Context, pk string, it item) error {
	if blob := getString(it, attrBlob); blob != "" && s.opts.Blobs != nil {
		return s.opts.Blobs.Delete(ctx, blob)
	}
	var writes []types.WriteRequest
	for n := range getInt(it, attrChunks) {
		sk := fmt.Sprintf("%s%s#%s#%03d", skChunk, s.skOf(it)[len(skRecord):], getString(it, attrChunkOf), n)
		writes = append(writes, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: s.key(pk, sk)}})
	}
	return s.writeAll(ctx, writes)
}

func merged(parts ...item) item {
	out := item{}
	for _, p := range parts {
		maps.Copy(out, p)
	}
	return out
}

func aead(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("%w: a data key: %w", memory.ErrInvalid, err)
	}
	return cipher.NewGCM(block)
}

func encrypt(data, key []byte, associated string) ([]byte, error) {
	gcm, err := aead(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, gcm.NonceSize(), gcm.NonceSize()+len(data)+gcm.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return gcm.Seal(nonce, nonce, data, []byte(associated)), nil
}

func decrypt(data, key []byte, associated string) ([]byte, error) {
	gcm, err := aead(key)
	if err != nil {
		return nil, err
	}
	if len(data) < gcm.NonceSize() {
		return nil, fmt.Errorf("%w: a ciphertext of %d bytes", memory.ErrCorrupt, len(data))
	}
	out, err := gcm.Open(nil, data[:gcm.NonceSize()], data[gcm.NonceSize():], []byte(associated))
	if err != nil {
		return nil, fmt.Errorf("%w: a ciphertext was changed or moved: %w", memory.ErrCorrupt, err)
	}
	return out, nil
}
