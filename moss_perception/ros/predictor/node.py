"""The node grasp_predictor: camera in, motion features and grasp scores out."""

from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray
from moss_perception.core.codes import coded
from moss_perception.core.errors import CandidateError, ConfigError
from moss_perception.core.image_messages import ImageLimits
from moss_perception.core.memory import return_freed_memory
from moss_perception.core.resources import model_path
from moss_perception.core.tables import lay_out
from moss_perception.ros.common import conversions
from moss_perception.ros.common.guard import answering
from moss_perception.ros.common.lifecycle import ManagedNode
from moss_perception.ros.common.parameters import NodeParameters
from moss_perception.ros.common.spinning import create_steady_timer
from moss_perception.ros.predictor import lead_times
from moss_perception.ros.predictor.clocks import Clocks
from moss_perception.ros.predictor.heartbeat import health, Heartbeat
from moss_perception.ros.predictor.judge import PAUSED
from moss_perception.ros.predictor.log import StreamLog
from moss_perception.ros.predictor.monitor import configuration, Monitor
from moss_perception.ros.predictor.parameters import PredictorParameters
from moss_perception.ros.predictor.score_service import ScoreService
from moss_perception.ros.predictor.topics import Inputs, Outputs
from moss_perception.ros.predictor.transforms import LiveTransforms
from moss_perception.ros.predictor.worker import Worker
from moss_perception.ros.system.restarts import restarts
from moss_perception.runtime.candidate_frames import CandidateFrames
from moss_perception.runtime.engine import load_engine, Loader
from moss_perception.runtime.frame_status import (
    FrameResult,
    FrameStatus,
    INTERNAL_ERROR,
    Sample,
)
from moss_perception.runtime.lead_times import check_lead_time
from moss_perception.runtime.predictor import Predictor
from sensor_msgs.msg import CameraInfo, PointCloud2
from std_srvs.srv import SetBool, Trigger


class GraspPredictor(ManagedNode):
    """
    Scores grasps from a camera's images.

    The executor thread admits images and passes samples to a worker thread, which steps the
    network and publishes.

    :param loader: loads the engine; see :class:`moss_perception.runtime.engine.EngineStore`.
    :raises ConfigError: if a parameter given at the start is not allowed.
    """

    def __init__(self, loader: Loader = load_engine, **kwargs: Any):
        super().__init__('grasp_predictor', **kwargs)
        self._loader = loader
        self._predictor: Predictor | None = None
        self._outputs: Outputs | None = None
        self._worker: Worker | None = None
        self._inputs: Inputs | None = None
        self._enabled = True
        self._monitor = Monitor()
        self._log = StreamLog(self, self._monitor)
        self._camera_refused, self._image_frame, self._published = False, '', 0
        self._refusal, self._candidates_frame = '', None
        self._clocks = Clocks(self)
        self._transforms = LiveTransforms(self)
        self._declared = NodeParameters(
            self, PredictorParameters, is_configured=lambda: self._predictor is not None,
            validate=self._check_model, apply=self._on_change,
            renamed={'orders': 'budget'})
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._heartbeat = Heartbeat(
            self, lambda: health(self.state_label, self._worker)[0])
        self.create_service(Trigger, '~/reset', answering(self, self._on_reset))
        self.create_service(SetBool, '~/enable', answering(self, self._on_enable))
        self._score_service = ScoreService(self)
        create_steady_timer(self, 1.0, self._on_diagnostics_timer)
        create_steady_timer(self, 0.5, self._on_graph_timer)
        # On a busy machine several images are held at once, and their memory would stay with it.
        create_steady_timer(self, 60.0, return_freed_memory)

    def configure(self) -> None:
        """Load and verify the checkpoint."""
        chosen = self.settings
        path = model_path(chosen.model_path)
        self._predictor = Predictor.load(
            str(path), chosen.model_sha256, chosen.engine, chosen.device, chosen.threads,
            chosen.max_gap, chosen.lead_time_s,
            ImageLimits(chosen.max_megapixels, chosen.max_scans), self._loader)
        self._predictor.frames = CandidateFrames(chosen.setup, self._transforms)
        self._apply_budget()
        self._monitor = Monitor()
        self._log = StreamLog(self, self._monitor)
        lead_times.log_stream(self._predictor, self._log)
        self._outputs = Outputs(self, chosen.publish_features, self._predictor.config)
        return_freed_memory()
        self.get_logger().info(
            f'configured: {path}, sha256 {self.predictor.engine.sha256}, engine {chosen.engine} '
            f'on {chosen.device}, {self.predictor.config.window_frames} samples of '
            f'{self.predictor.config.frame_rate_hz:g} Hz')

    def activate(self) -> None:
        """Subscribe, with an empty window."""
        if self.predictor.counters.frames:
            self.predictor.reset('activated')
        self._monitor.restart()
        self._camera_refused, self._image_frame, self._published = False, '', 0
        self._refusal, self._candidates_frame = '', None
        self._clocks.restart()
        self._worker = Worker(self._advance, self._on_worker_failure)
        self._inputs = Inputs(self, self.settings, self._on_candidates, self._on_lead_times,
                              self._on_camera_info, self._on_image)
        rows = self._inputs.rows() + self.outputs.rows(self._diagnostics)
        self._score_service.refuse('' if self._enabled else PAUSED)
        self.get_logger().info(f'active\n{lay_out(rows)}')

    def deactivate(self) -> None:
        """Unsubscribe; samples that are still waiting are skipped."""
        self._score_service.refuse('the node is not active: expected active')
        if self._inputs is not None:
            self._inputs.destroy()
            self._inputs = None
        if self._worker is None:
            return
        waiting, ended = self._worker.stop()
        self._transforms.destroy()
        self._worker = None
        for sample in waiting if self.context.ok() else ():
            self._report(self.predictor.drop(sample))
        if not ended:
            self.get_logger().error(coded(
                'engine_busy', 'the engine is still busy with a sample: expected it to finish '
                'within 30 s'))

    def free(self) -> None:
        """Release the engine and the publishers."""
        self.deactivate()
        if self._outputs is not None:
            self._outputs.destroy()
        self._outputs = self._predictor = None
        return_freed_memory()

    @property
    def predictor(self) -> Predictor:
        """The predictor of a configured node."""
        assert self._predictor is not None, 'the node is not configured'
        return self._predictor

    @property
    def settings(self) -> PredictorParameters:
        """The parameters as they are now."""
        return self._declared.values

    @property
    def outputs(self) -> Outputs:
        """The publishers of a configured node."""
        assert self._outputs is not None, 'the node is not configured'
        return self._outputs

    # ---- inputs: executor thread

    def _on_image(self, message: Any) -> None:
        self._monitor.frame()
        predictor, frame = self.predictor, conversions.to_frame(message)
        if not self._enabled:
            self._report(predictor.pause(frame))
            return
        if frame.frame_id != self._image_frame:
            self._image_frame = frame.frame_id
            self._follow_frames()
        self._clocks.image(frame.stamp_ns)
        admitted = predictor.admit(frame)
        lead_times.log_problems(predictor, self._log)
        self._log.resets(predictor.counters.resets)
        if isinstance(admitted, Sample):
            assert self._worker is not None  # as long as images are subscribed to
            if (dropped := self._worker.put(admitted)) is not None:
                self._report(predictor.drop(dropped))
        else:
            self._report(admitted)

    def _on_camera_info(self, message: CameraInfo) -> None:
        try:
            self.predictor.set_camera(conversions.to_camera(
                message, self._inputs.images if self._inputs else '',
                self.settings.setup.rectified))
            self._camera_refused = False
        except ConfigError as error:
            self.predictor.set_camera(None)
            if not self._camera_refused:
                self.get_logger().warning(coded(
                    'no_calibration', f'{error}; only the default grasp point is scored'))
            self._camera_refused = True

    def _on_candidates(self, message: PoseArray) -> None:
        self._clocks.candidates(message.header)
        self._candidates_frame = message.header.frame_id
        self._follow_frames()
        try:
            candidates = conversions.to_candidates(message, self.settings.max_candidates)
        except CandidateError as error:
            # The planner replaced the set before, so that one is not scored any longer.
            self.predictor.forget_candidates()
            self._monitor.candidates_refused += 1
            self._refusal = coded('candidates_refused', f'candidates are refused: {error}')
            self._log.warn('candidates_refused', self._refusal)
            return
        self._refusal = ''
        if problem := candidates.problem():
            self._log.warn('not_a_number', problem)
        self.predictor.set_candidates(candidates)
        lead_times.log_problems(self.predictor, self._log)

    def _follow_frames(self) -> None:
        """Receive tf once images and candidates have come whose frames it has to relate."""
        given, camera = self._candidates_frame, self._image_frame
        if given is not None and camera and not self.predictor.frames.is_given(given, camera):
            self._transforms.follow()

    def _on_lead_times(self, message: PointCloud2) -> None:
        lead_times.take_lead_times(self.predictor, message,
                                   self.resolve_topic_name('grasp_lead_times'), self._log)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._predictor is not None
        response.message = f'the node is {self.state_label}: there is no window to forget'
        if response.success:
            self.predictor.reset('requested')
            self._log.resets(self.predictor.counters.resets)
            response.message = 'the window was forgotten'
        return response

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if request.data and not self._enabled and self._predictor is not None:
            self.predictor.reset('enabled')
            self._log.resets(self.predictor.counters.resets)
        self._enabled = request.data
        if self._inputs is not None:
            self._score_service.refuse('' if self._enabled else PAUSED)
        response.success = True
        response.message = 'enabled' if request.data else 'paused: images are skipped'
        return response

    def _check_model(self, settings: PredictorParameters) -> None:
        """Refuse what does not fit the checkpoint."""
        if self._predictor is not None:
            self._level(settings)
            check_lead_time(self._predictor.config, settings.lead_time_s)

    def _on_change(self, before: PredictorParameters, after: PredictorParameters) -> None:
        if self._predictor is not None and (before.budget, before.latency_budget) != (
                after.budget, after.latency_budget):
            self._apply_budget()
        if self._predictor is not None and before.lead_time != after.lead_time:
            self._predictor.set_lead_time(after.lead_time_s)
            lead_times.log_stream(self._predictor, self._log)

    def _apply_budget(self) -> None:
        self.predictor.set_level(self._level(self.settings), self.settings.latency_budget)

    def _level(self, settings: PredictorParameters) -> int | None:
        return settings.level(self.predictor.levels, self.predictor.engine.lowest_level)

    # ---- outputs: worker thread

    def _advance(self, sample: Sample) -> None:
        result = self.predictor.advance(sample)
        self._log.frames(self.predictor.frames.problem)
        self._log.resets(self.predictor.counters.resets)
        self._log.looks(self.predictor.counters.doubtful)
        prediction = result.prediction
        if prediction is None:
            self._published = 0
            self._report(result)
            return
        due = self._published % self.settings.stride == 0
        self._published += 1
        if due:
            now_ns = self.get_clock().now().nanoseconds
            self._monitor.prediction(
                prediction, (now_ns - prediction.stamp_ns) / 1e9 if now_ns else None)
            self._log.calibration(self.predictor.camera, prediction)
            self._log.shift(self._monitor.out_score)
            lead_times.log_clamped(self.predictor, prediction, self._log)
            self.outputs.publish(prediction, self.settings.score_threshold,
                                 self._monitor.out_score is not None, self.predictor.camera)
            self._score_service.scored(prediction)
        self._report(result if due else FrameResult(FrameStatus.STORED, result.stamp_ns))

    def _on_worker_failure(self, sample: Sample, error: Exception) -> None:
        self._log.failure('scoring', error)
        if self.context.ok():
            self._log.resets(self.predictor.counters.resets)
            self._report(FrameResult(
                FrameStatus.REFUSED, sample.frame.stamp_ns, INTERNAL_ERROR, str(error)))

    # ---- both threads

    def _report(self, result: FrameResult) -> None:
        if result.status is FrameStatus.REFUSED:
            self._monitor.last_refusal = coded(result.reason, f'{result.reason}: {result.detail}')
            self._log.warn(result.reason, f'refused a frame: {result.reason}: {result.detail}')
        self.outputs.processed(result.stamp_ns, result.status)

    # ---- timers: executor thread

    def _on_graph_timer(self) -> None:
        if self._inputs is not None:
            self.outputs.follow()
            for problem in self._inputs.check():
                self._log.warn('not_received', problem, kind=problem)
            self._clocks.check(self._log, self._inputs.image.topic)

    def _on_diagnostics_timer(self) -> None:
        state, stuck = health(self.state_label, self._worker)
        values: dict[str, Any] = {'state': state, **restarts()}
        if self._inputs is None:
            level = conversions.ERROR if self.failure else conversions.STALE
            message = self.failure or self.state_label
        else:
            level, message, more = self._monitor.report(
                self.predictor, self._inputs.image.topic, self._enabled,
                self._inputs.hint() or self._refusal or coded(
                    'clocks_apart', self._clocks.problem()),
                self.settings.score_threshold)
            if stuck:
                level, message = conversions.ERROR, coded('engine_busy', stuck)
            image = self._inputs.image
            values |= more | configuration(self.predictor, self.settings) | {
                'topic': image.topic, 'reliability': image.reliability,
                'clock_lag_s': self._clocks.lag_s(), 'resubscribed': self._inputs.silences,
                'paused': 'no' if self._enabled else 'yes'}
        self._score_service.state = message
        self._diagnostics.publish(conversions.diagnostics(self, level, message, values))


