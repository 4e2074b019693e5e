package servers

import "maps"

// Lacks says how a server fails at a capability, if that is known.
func Lacks(name Name, c Capability) (how string, lacks bool) {
	s := byName(name)
	if s == nil {
		return "", false
	}
	how, lacks = s.gaps[c]
	return how, lacks
}

// Gaps returns all that a server is known to fail at, and how.
func Gaps(name Name) map[Capability]string {
	s := byName(name)
	if s == nil {
		return nil
	}
	return maps.Clone(s.gaps)
}

func motoGaps() map[Capability]string {
	const noQuery = "QueryVectors is answered with 404"
	return map[Capability]string{
		UpdatedNew:        "the keys are returned too",
		ExactPageHasKey:   "the last page has no key",
		LocalIndexFetches: "what the index does not project is missing",
		BatchLimits:       "26 are accepted",
		TransactionToken:  "applied twice",
		TokenMismatch:     "accepted",
		ItemSizeLimit:     "about 6,000 bytes too strict",
		ConsumedCapacity:  "1.0 for every put, nothing for a transaction",

		DefaultChecksum:    "not returned by the put, only by a head",
		WrongChecksum:      "accepted",
		MultipartCRC64:     "a wrong value, and a wrong one is accepted",
		MultipartComposite: "without the number of parts",
		GetPart:            "the checksum of the part is wrong, so the SDK refuses it",
		CopySourceIfMatch:  "ignored",
		CopyIfNoneMatch:    "ignored",
		CopyChecksum:       "a wrong one",
		ListPartsChecksums: "left out",
		MarkerNotAllowed:   "404 NoSuchVersion",
		NullVersion:        "the versions before are lost from the list",
		Signatures:         "not checked",
		ObjectAttributes:   "no parts",
		AppendByOffset:     "ignored: the object is overwritten",

		VectorIndexes:       "without its metadata configuration",
		PutLimit:            "accepted",
		MetadataLimit:       "accepted",
		ZeroVector:          "accepted",
		QueryExact:          noQuery,
		FilterEquals:        noQuery,
		FilterSets:          noQuery,
		FilterRanges:        noQuery,
		FilterOr:            noQuery,
		FilterExists:        noQuery,
		FilterLists:         noQuery,
		FilterFields:        noQuery,
		FilterNotFilterable: noQuery,
		FilterUnknown:       noQuery,
		QueryUnrequested:    noQuery,
		QueryDimension:      noQuery,
		QueryLimit:          noQuery,
		QueryBeyond100:      noQuery,
		DeletedIsGone:       noQuery,
		Euclidean:           noQuery,
		ListPaging:          "everything in one page",
		ListSegments:        "every segment has everything",

		UpdateFS:      "500",
		ValidatedASL:  "accepted",
		RetriedTokens: "it takes the answer to the attempt before",
	}
}

func versitygwGaps() map[Capability]string {
	return map[Capability]string{
		IfNoneMatchAfterMarker:   "412, as if the object were there",
		ListObjectVersionsPaging: "versions are repeated; pages of one never end",
		CopyIfNoneMatch:          "ignored",
		KeyWithDoubleSlash:       "x//y becomes x/y: keys are paths of files",
		KeyWithTrailingSlash:     "DirectoryObjectContainsData",
		StorageClasses:           "always STANDARD",
		BogusStorageClass:        "ignored",
		Restore:                  "archive classes are ignored",
		ObjectAttributes:         "no parts",
		LifecycleArchive:         "NotImplemented",
		LifecycleExpiry:          "NotImplemented",
		AppendByOffset:           "ignored: the object is overwritten",
	}
}

func minIOGaps() map[Capability]string {
	return map[Capability]string{
		CopyIfNoneMatch:    "ignored",
		CopyChecksum:       "left out",
		ListUploads:        "only by the whole key",
		DeleteIfMatch:      "ignored",
		KeyWithDoubleSlash: "XMinioInvalidObjectName",
		StorageClasses:     "InvalidStorageClass",
		Restore:            "InvalidStorageClass",
		LifecycleArchive:   "InvalidStorageClass",
	}
}

func s3MockGaps() map[Capability]string {
	return map[Capability]string{
		AbsentKeysOmitted: "the key is returned, without data",
		PutLimit:          "501 are accepted",
		MetadataLimit:     "accepted",
		FilterUnknown:     "ignored: everything matches",
		QueryBeyond100:    "ValidationException: the limit is 100",
	}
}

func localS3Gaps() map[Capability]string {
	return map[Capability]string{
		VectorBucketConflict: "409 with XML, which the SDK cannot read",
		IndexARN:             "the ARN has another form",
		PutLimit:             "InvalidRequestException",
		WrongDimension:       "accepted",
		MetadataLimit:        "accepted",
		ZeroVector:           "accepted",
		FilterFields:         "a field beside $and is ignored",
		FilterNotFilterable:  "accepted",
		FilterUnknown:        "InvalidRequestException",
		QueryDimension:       "InvalidRequestException",
		QueryLimit:           "accepted",
		VectorTags:           "400 with XML",
		DeleteNotEmpty:       "InvalidRequestException",
	}
}
