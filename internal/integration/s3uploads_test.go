package integration

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func castagnoli(text string) string {
	sum := crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

func copyChecksum(b *bucket) error {
	const text = "a text whose checksum\x00 is wanted ü"
	version, err := b.put("k", text)
	if err != nil {
		return err
	}
	out, err := b.CopyObject(b.t.Context(), &s3.CopyObjectInput{
		Bucket: b.name, Key: new("copy"), CopySource: new(*b.name + "/k?versionId=" + version), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c,
	})
	if err != nil {
		return err
	}
	if out.CopyObjectResult == nil || out.CopyObjectResult.ChecksumCRC32C == nil {
		return errors.New("there is no checksum")
	}
	return same("checksum", *out.CopyObjectResult.ChecksumCRC32C, castagnoli(text))
}

// begun begins an upload and sends one part.
func (b *bucket) begun(key, text string) (*string, error) {
	up, err := b.CreateMultipartUpload(b.t.Context(), &s3.CreateMultipartUploadInput{
		Bucket: b.name, Key: &key, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c, ChecksumType: types.ChecksumTypeFullObject,
	})
	if err != nil {
		return nil, err
	}
	_, err = b.UploadPart(b.t.Context(), &s3.UploadPartInput{
		Bucket: b.name, Key: &key, UploadId: up.UploadId, PartNumber: new(int32(1)), Body: strings.NewReader(text), ChecksumCRC32C: new(castagnoli(text)),
	})
	return up.UploadId, err
}

func listUploads(b *bucket) error {
	for _, key := range []string{"folder/one", "folder/two", "other/three"} {
		if _, err := b.begun(key, "text"); err != nil {
			return err
		}
	}
	out, err := b.ListMultipartUploads(b.t.Context(), &s3.ListMultipartUploadsInput{Bucket: b.name, Prefix: new("folder/")})
	if err != nil {
		return err
	}
	var keys []string
	for _, u := range out.Uploads {
		keys = append(keys, *u.Key)
	}
	return same("keys", fmt.Sprint(keys), "[folder/one folder/two]")
}

func listPartsChecksums(b *bucket) error {
	id, err := b.begun("k", "text")
	if err != nil {
		return err
	}
	out, err := b.ListParts(b.t.Context(), &s3.ListPartsInput{Bucket: b.name, Key: new("k"), UploadId: id})
	if err != nil {
		return err
	}
	if len(out.Parts) != 1 || out.Parts[0].ChecksumCRC32C == nil {
		return fmt.Errorf("%d parts, or no checksum", len(out.Parts))
	}
	return same("checksum", *out.Parts[0].ChecksumCRC32C, castagnoli("text"))
}
