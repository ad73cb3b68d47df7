package publisher

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

// kafkaAnswers are all that Kafka can answer, with the code that the program gives; an empty code is that of
// what was being done, E215 for a window that is tried again and E219 for a record that is refused, and why
// says why that is enough.
var kafkaAnswers = []struct {
	code, why string
	errs      []*kerr.Error
}{
	{codeLogin, "", []*kerr.Error{kerr.SaslAuthenticationFailed}},
	{codeMechanism, "", []*kerr.Error{kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState}},
	{codeTopicRight, "", []*kerr.Error{kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed}},
	{codeTransactional, "", []*kerr.Error{kerr.TransactionalIDAuthorizationFailed}},
	{codeClusterRight, "", []*kerr.Error{kerr.ClusterAuthorizationFailed}},
	{codeTopicMissing, "", []*kerr.Error{kerr.UnknownTopicOrPartition}},
	{codeTooLarge, "", []*kerr.Error{kerr.MessageTooLarge, kerr.RecordListTooLarge}},
	{codeReplicas, "", []*kerr.Error{kerr.InvalidReplicationFactor}},
	{codeNotEnough, "", []*kerr.Error{kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend}},
	{codePolicy, "", []*kerr.Error{kerr.PolicyViolation}},
	{codeTimeout, "", []*kerr.Error{kerr.InvalidTransactionTimeout}},
	{codeFenced, "", []*kerr.Error{kerr.ProducerFenced}},
	{codeSettings, "", []*kerr.Error{kerr.InvalidConfig, kerr.InvalidPartitions, kerr.InvalidTopicException}},
	{"", "passes by itself: a leader or a coordinator moves, and the client asks again", []*kerr.Error{
		kerr.LeaderNotAvailable, kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.BrokerNotAvailable,
		kerr.ReplicaNotAvailable, kerr.StaleControllerEpoch, kerr.NetworkException, kerr.CoordinatorLoadInProgress,
		kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.NotController, kerr.FencedLeaderEpoch,
		kerr.UnknownLeaderEpoch, kerr.StaleBrokerEpoch, kerr.UnknownTopicID, kerr.InconsistentTopicID,
		kerr.ListenerNotFound, kerr.ThrottlingQuotaExceeded, kerr.RebootstrapRequired, kerr.OffsetNotAvailable,
		kerr.FetchSessionIDNotFound, kerr.InvalidFetchSessionEpoch, kerr.FetchSessionTopicIDError,
		kerr.ReassignmentInProgress, kerr.OperationNotAttempted, kerr.InvalidUpdateVersion,
	}},
	{"", "ends the transaction: the window is published again, as E215 says", []*kerr.Error{
		kerr.OutOfOrderSequenceNumber, kerr.DuplicateSequenceNumber, kerr.InvalidProducerEpoch,
		kerr.InvalidTxnState,
		kerr.InvalidProducerIDMapping, kerr.ConcurrentTransactions, kerr.TransactionCoordinatorFenced,
		kerr.UnknownProducerID, kerr.TransactionAbortable, kerr.TransactionalIDNotFound,
	}},
	{"", "is a broker in trouble: its own log says more than any fix of ours", []*kerr.Error{
		kerr.UnknownServerError, kerr.CorruptMessage, kerr.KafkaStorageError, kerr.LogDirNotFound,
	}},
	{"", "refuses a request for good: no setting leads there, and its words say what", []*kerr.Error{
		kerr.InvalidFetchSize, kerr.InvalidRequiredAcks, kerr.InvalidTimestamp, kerr.UnsupportedVersion,
		kerr.InvalidRequest, kerr.UnsupportedForMessageFormat, kerr.UnsupportedCompressionType, kerr.InvalidRecord,
		kerr.OffsetOutOfRange, kerr.PositionOutOfRange, kerr.OffsetMovedToTieredStorage, kerr.TopicAlreadyExists,
		kerr.InvalidReplicaAssignment, kerr.PrincipalDeserializationFailure, kerr.UnsupportedEndpointType,
		kerr.MismatchedEndpointType, kerr.InconsistentClusterID,
	}},
	{"", "answers consumer groups and share groups, of which the program has none", []*kerr.Error{
		kerr.OffsetMetadataTooLarge, kerr.IllegalGeneration, kerr.InconsistentGroupProtocol, kerr.InvalidGroupID,
		kerr.UnknownMemberID, kerr.InvalidSessionTimeout, kerr.RebalanceInProgress, kerr.InvalidCommitOffsetSize,
		kerr.NonEmptyGroup, kerr.GroupIDNotFound, kerr.MemberIDRequired, kerr.GroupMaxSizeReached,
		kerr.FencedInstanceID, kerr.GroupSubscribedToTopic, kerr.UnstableOffsetCommit, kerr.FencedMemberEpoch,
		kerr.UnreleasedInstanceID, kerr.UnsupportedAssignor, kerr.StaleMemberEpoch, kerr.InvalidRecordState,
		kerr.ShareSessionNotFound, kerr.InvalidShareSessionEpoch, kerr.FencedStateEpoch, kerr.GroupDeletionFailed,
		kerr.InvalidRegularExpression, kerr.StreamsInvalidTopology, kerr.StreamsInvalidTopologyEpoch,
		kerr.StreamsTopologyFenced, kerr.ShareSessionLimitReached, kerr.StreamsTopologyDescriptionUpdateFailed,
	}},
	{"", "answers administration that the program does not do, and brokers among themselves", []*kerr.Error{
		kerr.SecurityDisabled, kerr.DelegationTokenAuthDisabled, kerr.DelegationTokenNotFound,
		kerr.DelegationTokenOwnerMismatch, kerr.DelegationTokenRequestNotAllowed,
		kerr.DelegationTokenAuthorizationFailed, kerr.DelegationTokenExpired, kerr.InvalidPrincipalType,
		kerr.TopicDeletionDisabled, kerr.PreferredLeaderNotAvailable, kerr.EligibleLeadersNotAvailable,
		kerr.ElectionNotNeeded, kerr.NoReassignmentInProgress, kerr.ResourceNotFound, kerr.DuplicateResource,
		kerr.UnacceptableCredential, kerr.InconsistentVoterSet, kerr.FeatureUpdateFailed, kerr.SnapshotNotFound,
		kerr.DuplicateBrokerRegistration, kerr.BrokerIDNotRegistered, kerr.IneligibleReplica, kerr.NewLeaderElected,
		kerr.UnknownControllerID, kerr.UnknownSubscriptionID, kerr.TelemetryTooLarge, kerr.InvalidRegistration,
		kerr.InvalidVoterKey, kerr.DuplicateVoter, kerr.VoterNotFound, kerr.ControllerIDNotRegistered,
	}},
}

// TestKafkaCodes: each answer of Kafka has a code, or a reason to have that of what was being done.
func TestKafkaCodes(t *testing.T) {
	listed := map[int16]bool{}
	for _, group := range kafkaAnswers {
		if group.code == "" && group.why == "" {
			t.Error("a group without code and reason")
		}
		for _, answer := range group.errs {
			if listed[answer.Code] {
				t.Errorf("%s is listed twice", answer.Message)
			}
			listed[answer.Code] = true
			err := fmt.Errorf("do it: %w", answer)
			if got := ErrorCode(err); got != group.code {
				t.Errorf("%s: code %q, want %q", answer.Message, got, group.code)
			}
			again, record := group.code, group.code
			if again == "" || again == codeFenced { // which a broker also says that ended a transaction of ours
				again = codeAgain
			}
			if record == "" {
				record = codeRecord
			}
			if got := (&AgainError{Doing: "commit", Err: err}).ErrorCode(); got != again {
				t.Errorf("%s of a window: code %s, want %s", answer.Message, got, again)
			}
			if got := (&RecordError{Topic: "t", Err: err}).ErrorCode(); got != record {
				t.Errorf("%s of a record: code %s, want %s", answer.Message, got, record)
			}
		}
	}
	for code := int16(-1); code < 1000; code++ {
		answer := (*kerr.Error)(nil)
		if errors.As(kerr.ErrorForCode(code), &answer) && answer.Code == code && !listed[code] {
			t.Errorf("%s (%d) has neither a code nor a reason", answer.Message, code)
		}
	}
}
