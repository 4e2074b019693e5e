package integration

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func defaultChecksum(b *bucket) error {
	o, err := b.putObject("k", "one")
	if err != nil {
		return err
	}
	if o.ChecksumCRC32 == nil && o.ChecksumCRC64NVME == nil {
		return errors.New("the answer of the put has no checksum")
	}
	return nil
}

func checksumAlgorithms(b *bucket) error {
	for algorithm, stored := range map[types.ChecksumAlgorithm]func(*s3.HeadObjectOutput) *string{
		types.ChecksumAlgorithmSha256:    func(h *s3.HeadObjectOutput) *string { return h.ChecksumSHA256 },
		types.ChecksumAlgorithmSha1:      func(h *s3.HeadObjectOutput) *string { return h.ChecksumSHA1 },
		types.ChecksumAlgorithmCrc32c:    func(h *s3.HeadObjectOutput) *string { return h.ChecksumCRC32C },
		types.ChecksumAlgorithmCrc64nvme: func(h *s3.HeadObjectOutput) *string { return h.ChecksumCRC64NVME },
	} {
		if _, err := b.put(string(algorithm), "one", func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = algorithm }); err != nil {
			return fmt.Errorf("%s: %w", algorithm, err)
		}
		h, err := b.head(string(algorithm))
		if err != nil {
			return fmt.Errorf("%s: %w", algorithm, err)
		}
		if stored(h) == nil {
			return fmt.Errorf("%s is not kept", algorithm)
		}
	}
	sum := sha256.Sum256([]byte("one"))
	h, err := b.head(string(types.ChecksumAlgorithmSha256))
	if err != nil {
		return err
	}
	return same("SHA256", *h.ChecksumSHA256, base64.StdEncoding.EncodeToString(sum[:]))
}

func wrongChecksum(b *bucket) error {
	other := sha256.Sum256([]byte("other"))
	_, wrongSHA := b.put("sha", "one", func(in *s3.PutObjectInput) {
		in.ChecksumSHA256 = new(base64.StdEncoding.EncodeToString(other[:]))
	})
	_, wrongCRC := b.put("crc", "one", func(in *s3.PutObjectInput) { in.ChecksumCRC64NVME = new(crc64nvme([]byte("other"))) })
	return errors.Join(answered(wrongSHA, http.StatusBadRequest), answered(wrongCRC, http.StatusBadRequest))
}

// crc64nvme is the checksum as S3 writes it.
func crc64nvme(data []byte) string {
	sum := crc64.Checksum(data, crc64.MakeTable(0x9a6c9329ac4bc9b5))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, sum))
}

// multipartParts are what upload sends: the smallest parts that S3 accepts, and a
// small last one.
func multipartParts() [][]byte {
	return [][]byte{bytes.Repeat([]byte("a"), 5<<20), bytes.Repeat([]byte("b"), 5<<20), []byte("the end")}
}

// upload puts multipartParts with one kind of checksum.
func (b *bucket) upload(key string, algorithm types.ChecksumAlgorithm, kind types.ChecksumType, with ...func(*s3.CompleteMultipartUploadInput)) error {
	ctx := b.t.Context()
	u, err := b.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: b.name, Key: &key, ChecksumAlgorithm: algorithm, ChecksumType: kind,
	})
	if err != nil {
		return err
	}
	var done types.CompletedMultipartUpload
	for i, part := range multipartParts() {
		o, err := b.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: b.name, Key: &key, UploadId: u.UploadId, PartNumber: new(int32(i + 1)),
			Body: bytes.NewReader(part), ChecksumAlgorithm: algorithm,
		})
		if err != nil {
			return err
		}
		done.Parts = append(done.Parts, types.CompletedPart{
			PartNumber: new(int32(i + 1)), ETag: o.ETag, ChecksumSHA256: o.ChecksumSHA256, ChecksumCRC64NVME: o.ChecksumCRC64NVME,
		})
	}
	in := &s3.CompleteMultipartUploadInput{Bucket: b.name, Key: &key, UploadId: u.UploadId, MultipartUpload: &done, ChecksumType: kind}
	for _, w := range with {
		w(in)
	}
	_, err = b.CompleteMultipartUpload(ctx, in)
	return err
}

func multipartCRC64(b *bucket) error {
	whole := bytes.Join(multipartParts(), nil)
	if err := b.upload("k", types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject); err != nil {
		return err
	}
	h, err := b.head("k")
	if err != nil {
		return err
	}
	content, err := b.get("k")
	if err != nil {
		return err
	}
	if content != string(whole) {
		return errors.New("the content differs")
	}
	wrong := b.upload("wrong", types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject, func(in *s3.CompleteMultipartUploadInput) {
		in.ChecksumCRC64NVME = new(crc64nvme([]byte("other")))
	})
	return errors.Join(
		same("CRC64NVME", value(h.ChecksumCRC64NVME), crc64nvme(whole)),
		answered(wrong, http.StatusBadRequest))
}

func multipartComposite(b *bucket) error {
	if err := b.upload("k", types.ChecksumAlgorithmSha256, types.ChecksumTypeComposite); err != nil {
		return err
	}
	h, err := b.head("k")
	if err != nil {
		return err
	}
	sums := sha256.New()
	for _, part := range multipartParts() {
		sum := sha256.Sum256(part)
		sums.Write(sum[:])
	}
	return same("SHA256", value(h.ChecksumSHA256), base64.StdEncoding.EncodeToString(sums.Sum(nil))+"-3")
}

func multipartIfNoneMatch(b *bucket) error {
	if _, err := b.put("k", "one"); err != nil {
		return err
	}
	err := b.upload("k", types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject, func(in *s3.CompleteMultipartUploadInput) {
		in.IfNoneMatch = new("*")
	})
	return answered(err, preconditionFailed, http.StatusConflict)
}

func getPart(b *bucket) error {
	if err := b.upload("k", types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject); err != nil {
		return err
	}
	content, o, err := b.read("k", func(in *s3.GetObjectInput) { in.PartNumber = new(int32(3)) })
	if err != nil {
		return err
	}
	if o.PartsCount == nil {
		return errors.New("no count of parts")
	}
	return errors.Join(same("part", content, "the end"), same("parts", *o.PartsCount, int32(3)))
}

func objectAttributes(b *bucket) error {
	if err := b.upload("k", types.ChecksumAlgorithmSha256, types.ChecksumTypeComposite); err != nil {
		return err
	}
	o, err := b.GetObjectAttributes(b.t.Context(), &s3.GetObjectAttributesInput{
		Bucket: b.name, Key: new("k"), ObjectAttributes: []types.ObjectAttributes{
			types.ObjectAttributesChecksum, types.ObjectAttributesObjectParts, types.ObjectAttributesObjectSize,
		},
	})
	if err != nil {
		return err
	}
	if o.ObjectSize == nil || o.ObjectParts == nil || o.ObjectParts.TotalPartsCount == nil {
		return errors.New("no size or no parts")
	}
	return errors.Join(same("size", *o.ObjectSize, int64(10<<20+7)), same("parts", *o.ObjectParts.TotalPartsCount, int32(3)))
}

func storageClasses(b *bucket) error {
	for _, class := range []types.StorageClass{
		types.StorageClassIntelligentTiering, types.StorageClassStandardIa, types.StorageClassGlacierIr, types.StorageClassDeepArchive,
	} {
		if _, err := b.put(string(class), "x", func(in *s3.PutObjectInput) { in.StorageClass = class }); err != nil {
			return fmt.Errorf("%s: %w", class, err)
		}
		h, err := b.head(string(class))
		if err != nil {
			return fmt.Errorf("%s: %w", class, err)
		}
		if err := same("class", h.StorageClass, class); err != nil {
			return err
		}
	}
	return nil
}

func bogusStorageClass(b *bucket) error {
	_, err := b.put("k", "x", func(in *s3.PutObjectInput) { in.StorageClass = "BOGUS" })
	return answered(err, http.StatusBadRequest)
}

func restore(b *bucket) error {
	if _, err := b.put("k", "x", func(in *s3.PutObjectInput) { in.StorageClass = types.StorageClassGlacier }); err != nil {
		return err
	}
	_, archived := b.get("k")
	if err := failsAs[*types.InvalidObjectState](archived); err != nil {
		return err
	}
	_, err := b.RestoreObject(b.t.Context(), &s3.RestoreObjectInput{
		Bucket: b.name, Key: new("k"), RestoreRequest: &types.RestoreRequest{
			Days: new(int32(1)), GlacierJobParameters: &types.GlacierJobParameters{Tier: types.TierBulk},
		},
	})
	if err != nil {
		return err
	}
	h, err := b.head("k")
	if err != nil {
		return err
	}
	if !strings.Contains(value(h.Restore), "ongoing-request") {
		return fmt.Errorf("restore %q", value(h.Restore))
	}
	return nil
}

func tagging(b *bucket) error {
	if _, err := b.put("k", "x", func(in *s3.PutObjectInput) { in.Tagging = new("a=1&b=2") }); err != nil {
		return err
	}
	o, err := b.GetObjectTagging(b.t.Context(), &s3.GetObjectTaggingInput{Bucket: b.name, Key: new("k")})
	if err != nil {
		return err
	}
	got := map[string]string{}
	for _, tag := range o.TagSet {
		got[*tag.Key] = *tag.Value
	}
	return same("tags", got, map[string]string{"a": "1", "b": "2"})
}

func (b *bucket) lifecycle(rule types.LifecycleRule) error {
	rule.ID, rule.Status, rule.Filter = new("r"), types.ExpirationStatusEnabled, &types.LifecycleRuleFilter{Prefix: new("tmp/")}
	if _, err := b.PutBucketLifecycleConfiguration(b.t.Context(), &s3.PutBucketLifecycleConfigurationInput{
		Bucket: b.name, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{rule}},
	}); err != nil {
		return err
	}
	o, err := b.GetBucketLifecycleConfiguration(b.t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: b.name})
	if err != nil {
		return err
	}
	if len(o.Rules) != 1 {
		return fmt.Errorf("%d rules", len(o.Rules))
	}
	return errors.Join(same("transitions", len(o.Rules[0].Transitions), len(rule.Transitions)),
		same("noncurrent expiry", o.Rules[0].NoncurrentVersionExpiration != nil, rule.NoncurrentVersionExpiration != nil))
}

func lifecycleArchive(b *bucket) error {
	return b.lifecycle(types.LifecycleRule{
		Transitions: []types.Transition{{Days: new(int32(30)), StorageClass: types.TransitionStorageClassGlacierIr}},
	})
}

func lifecycleExpiry(b *bucket) error {
	return b.lifecycle(types.LifecycleRule{
		Expiration:                     &types.LifecycleExpiration{Days: new(int32(1))},
		NoncurrentVersionExpiration:    &types.NoncurrentVersionExpiration{NoncurrentDays: new(int32(1))},
		AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: new(int32(1))},
	})
}

// appendByOffset is refused by a general purpose bucket of AWS too: what matters is
// that the object is not overwritten.
func appendByOffset(b *bucket) error {
	if _, err := b.put("k", "one"); err != nil {
		return err
	}
	_, err := b.put("k", "two", func(in *s3.PutObjectInput) { in.WriteOffsetBytes = new(int64(3)) })
	if err != nil {
		return answered(err, http.StatusBadRequest, http.StatusNotImplemented)
	}
	content, err := b.get("k")
	return errors.Join(err, same("content", content, "onetwo"))
}
