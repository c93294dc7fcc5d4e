{{/* Where a worker's model is, and how it gets there. Each takes a dict: root and tier. */}}

{{/* none (the demo's are in the image), download, hostPath or existingClaim. */}}
{{- define "kandinsky.weightsSource" -}}
{{ ternary "none" .Values.weights.source .Values.global.demo }}
{{- end }}

{{/* The folder's name in the volume: a new revision is another folder, beside the one that is in use. */}}
{{- define "kandinsky.modelFolder" -}}
{{- $model := (get .root.Values .tier).model -}}
{{- if eq .root.Values.weights.source "existingClaim" -}}
{{ $model.folder }}
{{- else -}}
{{ $model.repository | replace "/" "--" }}@{{ $model.revision }}{{ with $model.variant }}-{{ . }}{{ end }}
{{- end -}}
{{- end }}

{{- define "kandinsky.modelPath" -}}
{{- if .root.Values.global.demo -}}
/opt/kandinsky/demo/{{ .tier }}
{{- else -}}
/weights/{{ include "kandinsky.modelFolder" . }}
{{- end -}}
{{- end }}

{{- define "kandinsky.weightsClaim" -}}
{{- if eq .Values.weights.source "existingClaim" -}}
{{ .Values.weights.existingClaim }}
{{- else -}}
{{ include "kandinsky.fullname" . }}-weights
{{- end -}}
{{- end }}

{{- define "kandinsky.weightsVolume" -}}
- name: weights
  {{- if eq .Values.weights.source "hostPath" }}
  hostPath:
    path: {{ .Values.weights.hostPath | quote }}
    type: Directory
  {{- else }}
  persistentVolumeClaim:
    claimName: {{ include "kandinsky.weightsClaim" . | quote }}
  {{- end }}
{{- end }}

{{/* Name of the download's job and of its manifest: a job can't be changed, so a changed download is another job. */}}
{{- define "kandinsky.downloadName" -}}
{{- $what := dict "model" (get .root.Values .tier).model "download" .root.Values.weights.download -}}
{{ include "kandinsky.tierName" . }}-weights-{{ toJson $what | sha256sum | trunc 8 }}
{{- end }}

{{/* The container that downloads: of the job, or of the pod itself where each node has its own folder. */}}
{{- define "kandinsky.downloadContainer" -}}
{{- $model := (get .root.Values .tier).model -}}
{{- $download := .root.Values.weights.download -}}
name: download
image: {{ .values.imageReference | quote }}
imagePullPolicy: {{ .values.image.pullPolicy }}
command: [kandinsky-weights]
args:
  - download
  - "--tier={{ .tier }}"
  - "--model={{ $model.repository }}@{{ $model.revision }}"
  {{- with $model.variant }}
  - "--variant={{ . }}"
  {{- end }}
  {{- if $model.manifest }}
  - --manifest=/etc/kandinsky/manifest/SHA256SUMS
  {{- end }}
  - "--folder={{ include "kandinsky.modelPath" . }}"
env:
  - name: HOME
    value: /tmp
  {{- with $download.endpoint }}
  - name: HF_ENDPOINT
    value: {{ . | quote }}
  {{- end }}
  {{- with $download.tokenSecret }}
  - name: HF_TOKEN
    valueFrom:
      secretKeyRef:
        name: {{ . | quote }}
        key: {{ $download.tokenKey | quote }}
  {{- end }}
resources:
  requests: {cpu: "1", memory: 2Gi}
  limits: {cpu: "1", memory: 2Gi}
{{ include "kandinsky.containerSecurity" . }}
volumeMounts:
  - name: weights
    mountPath: /weights
  - name: tmp
    mountPath: /tmp
  {{- if $model.manifest }}
  - name: manifest
    mountPath: /etc/kandinsky/manifest
    readOnly: true
  {{- end }}
{{- end }}

{{- define "kandinsky.manifestVolume" -}}
{{- if (get .root.Values .tier).model.manifest -}}
- name: manifest
  configMap:
    name: {{ include "kandinsky.downloadName" . | quote }}
{{- end -}}
{{- end }}
