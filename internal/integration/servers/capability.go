package servers

// A Capability is one thing that AWS does and a server may not. A check proves it on
// each server of its service; the gaps below are the servers' known failures. A
// check that fails outside this table fails the test, and so does one that passes
// against it: then the gap has closed, and the table must lose the line.
type Capability string

// What is checked on DynamoDB.
const (
	Tables               Capability = "create a table with both kinds of index; a second one of its name fails typed"
	ConditionalPut       Capability = "a conditional put fails with the typed error"
	ConditionReturnsItem Capability = "the failed condition returns the stored item"
	UpdatedNew           Capability = "an update returns the updated attributes alone"
	UpdateExpressions    Capability = "if_not_exists, list_append and nested paths in an update"
	QueryPaging          Capability = "a descending query pages with a limit"
	ExactPageHasKey      Capability = "a page that ends at the last item still has a key to go on"
	SparseIndex          Capability = "a global index is sparse and keeps its projection"
	LocalIndexFetches    Capability = "a local index fetches what it does not project"
	BatchLimits          Capability = "a batch write of 26 is rejected"
	Transactions         Capability = "a transaction is atomic and says which condition failed"
	TransactionToken     Capability = "a transaction with the same token is applied once"
	TokenMismatch        Capability = "a token with other content is rejected"
	TTLSettings          Capability = "time to live is switched on and described"
	ItemSizeLimit        Capability = "an item of 400 KB is stored, a larger one rejected"
	PageSizeLimit        Capability = "a page ends at 1 MB"
	ConsumedCapacity     Capability = "consumed capacity of tables, indexes and transactions"
	Atomicity            Capability = "concurrent adds lose nothing and one conditional put wins"
	AddIndex             Capability = "an index is added to a table with data"
	PointInTimeRecovery  Capability = "point-in-time recovery"
	TableTags            Capability = "tags of a table"
)

// What is checked on S3.
const (
	Versioning                 Capability = "versioning is switched on, and each put has its version"
	DefaultChecksum            Capability = "the checksum that the SDK adds is returned by the put"
	IfNoneMatch                Capability = "a put with If-None-Match fails with 412 where there is an object"
	IfMatch                    Capability = "a put with If-Match: good, stale (412), absent (404)"
	IfNoneMatchAfterMarker     Capability = "a put with If-None-Match succeeds after a delete marker"
	ConditionalRace            Capability = "of 20 concurrent puts with If-None-Match one wins"
	ChecksumAlgorithms         Capability = "SHA256, CRC32C, SHA1 and CRC64NVME are kept"
	WrongChecksum              Capability = "a wrong checksum is rejected"
	MultipartCRC64             Capability = "a multipart upload has the CRC64NVME of the whole object"
	MultipartComposite         Capability = "a multipart upload has a composite SHA256"
	MultipartIfNoneMatch       Capability = "completing an upload with If-None-Match fails with 412"
	ListObjectVersions         Capability = "versions are listed newest first, with IsLatest"
	ListObjectVersionsPaging   Capability = "versions are listed in pages, each once"
	RangeOfVersion             Capability = "a range of a version; 416 beyond its end"
	GetPart                    Capability = "a part of a multipart object is read by its number"
	CopyVersion                Capability = "a version is copied with new metadata"
	CopySourceIfMatch          Capability = "a copy checks the ETag of its source"
	CopyIfNoneMatch            Capability = "a copy with If-None-Match fails with 412"
	DeleteMarker               Capability = "a delete leaves a marker, which can be removed"
	MarkerNotAllowed           Capability = "reading a delete marker by its version fails with 405"
	DeleteIfMatch              Capability = "a delete with a stale If-Match fails with 412"
	StorageClasses             Capability = "storage classes are kept and returned"
	BogusStorageClass          Capability = "an unknown storage class is rejected"
	Restore                    Capability = "an archived object cannot be read until it is restored"
	Tagging                    Capability = "tags of an object"
	Signatures                 Capability = "a wrong secret is rejected with 403"
	ObjectAttributes           Capability = "attributes of a multipart object, with its parts"
	KeyWithDoubleSlash         Capability = "a key with an empty segment"
	KeyWithTrailingSlash       Capability = "a key that ends in a slash has content"
	LifecycleArchive           Capability = "a lifecycle rule that moves objects to an archive"
	LifecycleExpiry            Capability = "a lifecycle rule that expires versions and aborts uploads"
	TypedS3Errors              Capability = "NoSuchKey, NoSuchBucket and BucketNotEmpty are typed"
	Listing                    Capability = "objects are listed in pages with prefixes"
	AppendByOffset             Capability = "a write at an offset appends or is refused, and overwrites nothing"
	NullVersion                Capability = "suspended versioning writes the null version"
	ConditionalOverwritesRaced Capability = "concurrent read-modify-write by If-Match loses nothing"
)

// What is checked on S3 Vectors.
const (
	VectorBuckets        Capability = "create, get and list a vector bucket"
	VectorBucketConflict Capability = "a second bucket of the name is a ConflictException"
	VectorIndexes        Capability = "create and get an index"
	IndexARN             Capability = "an index has the ARN of AWS's form and is addressed by it"
	PutGetVectors        Capability = "500 vectors with metadata are put and read back"
	AbsentKeysOmitted    Capability = "reading an absent key returns nothing for it"
	PutLimit             Capability = "more than 500 vectors in a put are rejected"
	WrongDimension       Capability = "a vector of another dimension is rejected"
	MetadataLimit        Capability = "more than 2 KB of filterable metadata are rejected"
	ZeroVector           Capability = "a zero vector in a cosine index is rejected"
	QueryExact           Capability = "a query of a small index equals brute force, with distances and metadata"
	FilterEquals         Capability = "filter: equality, implicit and $eq, joined by $and"
	FilterSets           Capability = "filter: $in, $nin and $ne"
	FilterRanges         Capability = "filter: $gt, $gte, $lt and $lte"
	FilterOr             Capability = "filter: $or, booleans"
	FilterExists         Capability = "filter: $exists"
	FilterLists          Capability = "filter: equality with an element of a list"
	FilterFields         Capability = "filter: several fields of an object are joined by and"
	FilterNotFilterable  Capability = "a filter on a key that is not filterable is rejected"
	FilterUnknown        Capability = "a filter with an unknown operator is rejected"
	QueryUnrequested     Capability = "a query returns neither distance nor metadata unasked"
	QueryDimension       Capability = "a query of another dimension is rejected"
	QueryLimit           Capability = "a query for more than 10,000 vectors is rejected"
	QueryBeyond100       Capability = "a query for more than 100 vectors"
	ListPaging           Capability = "vectors are listed in pages, each once"
	ListSegments         Capability = "segments of a list are disjoint and complete"
	Overwrite            Capability = "a put of an existing key replaces vector and metadata"
	DeletedIsGone        Capability = "a deleted vector is neither read nor found; deleting an absent key is no error"
	Euclidean            Capability = "a Euclidean index orders by the distance of a straight line"
	VectorPolicy         Capability = "a policy of a vector bucket"
	VectorTags           Capability = "tags of a vector bucket"
	VectorNotFound       Capability = "an absent index is a NotFoundException"
	DeleteNotEmpty       Capability = "a bucket with indexes is not deleted: ConflictException"
)

// What is checked on moto's other services.
const (
	FileSystems    Capability = "EFS: create is idempotent by its token; describe, access points"
	StateMachines  Capability = "Step Functions: a Pass state runs to its output"
	ValidatedASL   Capability = "Step Functions: a bad definition is rejected"
	UpdateFS       Capability = "EFS: update of a file system"
	SecondMachines Capability = "Step Functions: a second state machine of the account runs"
)
