package k8s_test

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What is used of custom resources whose own Go types cannot be had or bring a whole client along. The
// fields are spelled as in the types of KEDA 2.21 (apis/keda/v1alpha1), NACK (v1beta2) and External
// Secrets (v1). One that is missing here is one that nobody has looked up yet.

// meta begins every object.
type meta struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta `json:"metadata"`
}

type scaledObject struct {
	meta `json:",inline"`
	Spec struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		MinReplicaCount       int `json:"minReplicaCount"`
		MaxReplicaCount       int `json:"maxReplicaCount"`
		PollingInterval       int `json:"pollingInterval"`
		CooldownPeriod        int `json:"cooldownPeriod"`
		InitialCooldownPeriod int `json:"initialCooldownPeriod"`
		Fallback              struct {
			FailureThreshold int    `json:"failureThreshold"`
			Replicas         int    `json:"replicas"`
			Behavior         string `json:"behavior"`
		} `json:"fallback"`
		Advanced struct {
			HorizontalPodAutoscalerConfig struct {
				Behavior autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior"`
			} `json:"horizontalPodAutoscalerConfig"`
		} `json:"advanced"`
		Triggers []struct {
			Type     string `json:"type"`
			Metadata lag    `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

// lag is the metadata of the trigger nats-jetstream: strings all.
type lag struct {
	Endpoint  string `json:"natsServerMonitoringEndpoint"`
	Account   string `json:"account"`
	AccountID string `json:"accountID"`
	Stream    string `json:"stream"`
	Consumer  string `json:"consumer"`
	Threshold string `json:"lagThreshold"`
}

type stream struct {
	meta `json:",inline"`
	Spec streamSpec `json:"spec"`
}

type streamSpec struct {
	Name              string            `json:"name"`
	Subjects          []string          `json:"subjects"`
	Retention         string            `json:"retention"`
	Storage           string            `json:"storage"`
	Replicas          int               `json:"replicas"`
	Discard           string            `json:"discard"`
	MaxAge            metav1.Duration   `json:"maxAge"`
	DuplicateWindow   metav1.Duration   `json:"duplicateWindow"`
	MaxMsgsPerSubject int               `json:"maxMsgsPerSubject"`
	AllowRollup       bool              `json:"allowRollup"`
	DenyDelete        bool              `json:"denyDelete"`
	AllowDirect       bool              `json:"allowDirect"`
	AllowMsgTTL       bool              `json:"allowMsgTtl"`
	Metadata          map[string]string `json:"metadata"`
	PreventDelete     bool              `json:"preventDelete"`
}

type streamConsumer struct {
	meta `json:",inline"`
	Spec consumerSpec `json:"spec"`
}

type consumerSpec struct {
	StreamName    string            `json:"streamName"`
	DurableName   string            `json:"durableName"`
	FilterSubject string            `json:"filterSubject"`
	DeliverPolicy string            `json:"deliverPolicy"`
	ReplayPolicy  string            `json:"replayPolicy"`
	AckPolicy     string            `json:"ackPolicy"`
	AckWait       string            `json:"ackWait"`
	MaxAckPending int               `json:"maxAckPending"`
	MaxDeliver    int               `json:"maxDeliver"`
	MaxWaiting    int               `json:"maxWaiting"`
	Metadata      map[string]string `json:"metadata"`
	PreventDelete bool              `json:"preventDelete"`
}

type externalSecret struct {
	meta `json:",inline"`
	Spec struct {
		RefreshInterval metav1.Duration `json:"refreshInterval"`
		SecretStoreRef  struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"secretStoreRef"`
		Target struct {
			Name string `json:"name"`
		} `json:"target"`
		Data []struct {
			SecretKey string `json:"secretKey"`
			RemoteRef struct {
				Key      string `json:"key"`
				Property string `json:"property"`
			} `json:"remoteRef"`
		} `json:"data"`
	} `json:"spec"`
}
