package s3store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// Kinds of failure, for errors.Is. Beside them stand checkpoint.ErrNotFound
// and checkpoint.ErrExists.
var (
	// ErrUnreachable: no answer, or one that says to come back later.
	ErrUnreachable = errors.New("S3 server unreachable")
	// ErrCredentials: the keys are not known, wrong, or not allowed to do this.
	ErrCredentials = errors.New("S3 credentials refused")
	// ErrClock: the clocks here and there are too far apart for signatures.
	ErrClock = errors.New("clock differs from the S3 server's")
	// ErrNoBucket: the bucket is not there and could not be made.
	ErrNoBucket = errors.New("no such S3 bucket")
	// ErrUnfit: the server answers, but not as a store has to.
	ErrUnfit = errors.New("S3 server unfit")
)

// Error says what failed, where, since when, and what to do about it.
type Error struct {
	Op    string    // verb and noun, such as "put object"
	Where string    // URL of the bucket or object
	Since time.Time // of the first failed try; zero if there was one try
	Tries int
	Kind  error  // a kind of failure, or nil
	Err   error  // what the client or the server said, or nil
	Hint  string // the remedy, or empty
}

func (e *Error) Error() string {
	text := e.Op + " " + e.Where
	if e.Kind != nil {
		text += ": " + e.Kind.Error()
	}
	if e.Tries > 1 {
		text += fmt.Sprintf(" since %s (%d tries)", e.Since.UTC().Format(time.RFC3339), e.Tries)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if answer := minio.ToErrorResponse(e.Err); answer.Code != "" {
		text += " (" + answer.Code + ")"
	}
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap gives errors.Is the kind and the cause.
func (e *Error) Unwrap() []error {
	var list []error
	for _, err := range []error{e.Kind, e.Err} {
		if err != nil {
			list = append(list, err)
		}
	}
	return list
}

// verdict is what is known about a failed try.
type verdict struct {
	kind  error
	hint  string
	retry bool
}

// judge sorts the errors of the client and the codes of the server.
func judge(err error) verdict {
	switch {
	case errors.Is(err, checkpoint.ErrExists):
		return verdict{}
	case errors.Is(err, errReplaced):
		return verdict{kind: ErrUnfit, hint: "use an S3 server or release with conditional puts (If-None-Match)"}
	case errors.Is(err, errFlicker):
		return verdict{kind: ErrUnfit, retry: true,
			hint: "the server holds half an object: put something there unconditionally and delete it; run versitygw without --sidecar"}
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return judgeTransport(err)
	}
	switch answer.Code {
	case "NoSuchKey":
		return verdict{kind: checkpoint.ErrNotFound}
	case "NoSuchBucket":
		return verdict{kind: ErrNoBucket, hint: "make the bucket, or check its name"}
	case "InvalidAccessKeyId", "InvalidTokenId", "ExpiredToken", "XAdminUserNotFound": // the last is versitygw's
		return verdict{kind: ErrCredentials, hint: "check the access key: the server does not know it"}
	case "SignatureDoesNotMatch":
		return verdict{kind: ErrCredentials, hint: "check the secret key: it does not belong to the access key"}
	case "AuthorizationHeaderMalformed", "InvalidRegion":
		return verdict{kind: ErrCredentials, hint: "check the region" + regionHint(answer.Region)}
	case "RequestTimeTooSkewed", "RequestInTheFuture", "RequestExpired":
		return verdict{kind: ErrClock, hint: "set the clock of this machine, and of the server (NTP)"}
	case "AccessDenied", "AllAccessDisabled", "AccountProblem":
		return verdict{kind: ErrCredentials, hint: "check the keys, and that they may list, read, write and delete here"}
	case "ConditionalRequestConflict", "OperationAborted":
		return verdict{retry: true, hint: "another writer was at this object"}
	case "NotImplemented":
		return verdict{kind: ErrUnfit, hint: "use an S3 server with conditional puts (If-None-Match)"}
	}
	// 408, 429 and all that is the server's own fault.
	if answer.StatusCode >= 500 || answer.StatusCode == 408 || answer.StatusCode == 429 {
		return verdict{kind: ErrUnreachable, retry: true, hint: "see the log of the S3 server"}
	}
	return verdict{}
}

func regionHint(region string) string {
	if region == "" {
		return ""
	}
	return ": the server says " + region
}

// judgeTransport sorts errors that came without an answer of S3.
func judgeTransport(err error) verdict {
	var notTLS tls.RecordHeaderError
	var badCert *tls.CertificateVerificationError
	var unknownCA x509.UnknownAuthorityError
	switch {
	case errors.As(err, &notTLS), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return verdict{kind: ErrUnreachable, hint: "the server speaks http, not https: set the endpoint to http://"}
	case errors.As(err, &badCert), errors.As(err, &unknownCA):
		return verdict{kind: ErrUnreachable, hint: "trust the server's certificate on this machine, or use its proper name"}
	}
	var network net.Error // *url.Error is one, whatever it wraps
	if !errors.As(err, &network) && !errors.Is(err, errSilent) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return verdict{}
	}
	return verdict{kind: ErrUnreachable, retry: true, hint: "check that the S3 server runs and that this address reaches it"}
}
